import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { link, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import packageJson from "../../package.json" with { type: "json" };
import { TARGETS } from "../../scripts/lib/image/contents.ts";
import { executableOf, filesOf, layout, noImage, ownTarget, reports, rootOf } from "./image.ts";

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly annotations?: Readonly<Record<string, string>>;
}
interface Config {
  readonly architecture: string;
  readonly os: string;
  readonly created: string;
  readonly config: {
    readonly User: string;
    readonly Entrypoint: readonly string[];
    readonly Env: readonly string[];
    readonly Labels: Readonly<Record<string, string>>;
  };
  readonly rootfs: { readonly type: string; readonly diff_ids: readonly string[] };
  readonly history: readonly unknown[];
}

/** Somebody else's reading of the layout. */
const noSkopeo = Bun.which("skopeo") === null ? "(needs skopeo)" : "";

const sha256 = (bytes: Buffer) => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

/** Reads a blob, and checks it against its descriptor. */
async function blob({ digest, size }: Descriptor): Promise<Buffer> {
  const bytes = await readFile(join(layout, "blobs", digest.replace(":", "/")));
  expect([bytes.length, sha256(bytes)]).toEqual([size, digest]);
  return bytes;
}

const json = async <T>(descriptor: Descriptor): Promise<T> =>
  JSON.parse((await blob(descriptor)).toString("utf8"));
const index = async () =>
  JSON.parse(await readFile(join(layout, "index.json"), "utf8")) as {
    manifests: Descriptor[];
    mediaType: string;
  };
/** The one entry of the layout: an index of the architectures. */
const entry = async () => {
  const { manifests } = await index();
  const [only] = manifests;
  if (only === undefined || manifests.length > 1) throw new Error(`${manifests.length} entries`);
  return only;
};
const imagesOf = async () => (await json<{ manifests: Descriptor[] }>(await entry())).manifests;
const imageOf = async (architecture: string) => {
  const manifest = (await imagesOf()).find(({ platform }) => platform?.architecture === architecture);
  if (manifest === undefined) throw new Error(`no image for ${architecture}`);
  const { config, layers } = await json<{ config: Descriptor; layers: Descriptor[] }>(manifest);
  return { manifest, config: await json<Config>(config), configDescriptor: config, layers };
};

describe.skipIf(noImage !== "")(`OCI image layout ${noImage}`.trim(), () => {
  let work = "";
  beforeAll(async () => {
    work = await mkdtemp(join(tmpdir(), "rds-csi-image-"));
  });
  afterAll(async () => {
    await rm(work, { recursive: true, force: true });
  });

  test("is one: version, index, media types, and no blob that nothing names", async () => {
    expect(JSON.parse(await readFile(join(layout, "oci-layout"), "utf8"))).toEqual({
      imageLayoutVersion: "1.0.0",
    });
    const { mediaType } = await index();
    expect(mediaType).toBe("application/vnd.oci.image.index.v1+json");
    const one = await entry();
    expect(one.mediaType).toBe(mediaType);
    expect(one.annotations).toEqual({ "org.opencontainers.image.ref.name": packageJson.version });
    const manifests = await imagesOf();
    expect(manifests.map(({ platform }) => platform)).toEqual([
      { architecture: "amd64", os: "linux" },
      { architecture: "arm64", os: "linux" },
    ]);
    const named = new Set<string>([one.digest.slice("sha256:".length)]);
    for (const { oci } of TARGETS) {
      const { manifest, configDescriptor, layers } = await imageOf(oci);
      expect(manifest.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
      expect(configDescriptor.mediaType).toBe("application/vnd.oci.image.config.v1+json");
      for (const layer of layers) expect(layer.mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");
      for (const { digest } of [manifest, configDescriptor, ...layers])
        named.add(digest.slice("sha256:".length));
    }
    expect((await readdir(join(layout, "blobs/sha256"))).toSorted()).toEqual([...named].toSorted());
  });

  test("digests, sizes and diff_ids are those of the bytes; two layers, the second with the executable", async () => {
    for (const { oci } of TARGETS) {
      const { config, layers, manifest } = await imageOf(oci);
      const tars = await Promise.all(layers.map(async (layer) => gunzipSync(await blob(layer))));
      expect(tars).toHaveLength(2);
      expect(config.rootfs).toEqual({ type: "layers", diff_ids: tars.map(sha256) });
      expect(config.history).toHaveLength(2);
      expect(reports.find(({ architecture }) => architecture === oci)?.digest).toBe(manifest.digest);
    }
  });

  test("starts the driver as 65532, and says what it is", async () => {
    const { version } = JSON.parse(await readFile("package.json", "utf8"));
    for (const { oci } of TARGETS) {
      const { config } = await imageOf(oci);
      expect([config.architecture, config.os]).toEqual([oci, "linux"]);
      expect(config.config).toMatchObject({
        User: "65532:65532",
        Entrypoint: ["/usr/bin/rds-csi"],
        Env: ["PATH=/usr/sbin:/usr/bin"],
        Labels: {
          "org.opencontainers.image.title": "rds-csi",
          "org.opencontainers.image.licenses": "Apache-2.0",
          "org.opencontainers.image.version": version,
          "org.opencontainers.image.created": config.created,
        },
      });
    }
  });

  test("tar unpacks it to the very root filesystem that is tested", async () => {
    const unpacked = join(work, "unpacked");
    await mkdir(unpacked);
    for (const layer of (await imageOf(ownTarget.oci)).layers) {
      const file = join(layout, "blobs", layer.digest.replace(":", "/"));
      execFileSync("tar", ["-xzpf", file, "-C", unpacked]);
      const owners = execFileSync("tar", ["-tvzf", file, "--numeric-owner"], { encoding: "utf8" });
      expect(owners.split("\n").filter((line) => line !== "" && !/^\S+ 0\/0 /.test(line))).toEqual([]);
    }
    const plain = async (root: string) =>
      (await filesOf(root)).map(({ path, mode, link: to, bytes, mtime }) => ({
        path,
        to,
        mode,
        mtime,
        digest: bytes === undefined ? undefined : sha256(bytes),
      }));
    expect(await plain(unpacked)).toEqual(await plain(rootOf(ownTarget)));
  });

  test("made again from the same input it has the same digest, to the last byte", async () => {
    const { config, manifest } = await imageOf(ownTarget.oci);
    const labels = config.config.Labels;
    await link(executableOf(ownTarget), join(work, `rds-csi-linux-${ownTarget.name}`));
    execFileSync("bun", [
      ...["scripts/lib/image/main.ts", "--target", ownTarget.name, "--out", work],
      ...["--time", String(Date.parse(config.created) / 1000)],
      ...["--version", labels["org.opencontainers.image.version"] ?? ""],
      ...["--commit", labels["org.opencontainers.image.revision"] ?? ""],
    ]);
    const again = JSON.parse(await readFile(join(work, "image/index.json"), "utf8")) as {
      manifests: Descriptor[];
    };
    // One architecture: the entry is the image itself.
    const annotations = { "org.opencontainers.image.ref.name": packageJson.version };
    expect(again.manifests).toEqual([{ ...manifest, annotations }]);
  }, 120_000);

  test.skipIf(noSkopeo !== "")(`skopeo takes both architectures of it ${noSkopeo}`.trim(), async () => {
    const policy = join(work, "policy.json");
    await writeFile(policy, JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] }));
    const copy = join(work, "copy");
    const args = ["--policy", policy, "copy", "--quiet", "--all", `oci:${layout}`, `oci:${copy}`];
    execFileSync("skopeo", args, { encoding: "utf8" });
    expect(await readdir(join(copy, "blobs/sha256"))).toHaveLength(
      (await readdir(join(layout, "blobs/sha256"))).length,
    );
  });
});
