import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Assembled } from "./assemble.ts";
import { DEBIAN, EXECUTABLE, USER } from "./contents.ts";
import { tarOf } from "./tar.ts";

/** The facts of a build that go into the image. */
export interface Build {
  readonly version: string;
  readonly commit: string;
  /** Time of the commit, seconds since 1970. */
  readonly time: number;
}

/** Pointer to a blob. Source: OCI image specification 1.1, descriptor.md. */
interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly platform?: { readonly architecture: string; readonly os: string };
  readonly annotations?: Readonly<Record<string, string>>;
}

const MEDIA = "application/vnd.oci.image";

/**
 * Writes an OCI image layout with one entry, named by the version: the image, or the index of an image for each
 * architecture. Earlier content of the directory is removed. The same input gives the same bytes. Source: OCI image specification 1.1.
 * @returns the digest of each image, by its architecture
 */
export async function writeLayout(
  images: readonly Assembled[],
  build: Build,
  directory: string,
): Promise<Readonly<Record<string, string>>> {
  await rm(directory, { recursive: true, force: true });
  const blobs = join(directory, "blobs/sha256");
  await mkdir(blobs, { recursive: true });
  const put = async (mediaType: string, bytes: Buffer): Promise<Descriptor> => {
    const hash = sha256(bytes);
    await writeFile(join(blobs, hash), bytes);
    return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
  };
  const manifests: Descriptor[] = [];
  for (const image of images) {
    const layers: Descriptor[] = [];
    const diffIds: string[] = [];
    for (const [tree, seconds] of [
      [image.base, image.baseTime],
      [image.driver, build.time],
    ] as const) {
      const tar = tarOf(tree, seconds);
      diffIds.push(`sha256:${sha256(tar)}`);
      layers.push(await put(`${MEDIA}.layer.v1.tar+gzip`, gzipSync(tar, { level: 6 })));
    }
    const config = await put(`${MEDIA}.config.v1+json`, json(configOf(image, build, diffIds)));
    const manifest = json({ schemaVersion: 2, mediaType: `${MEDIA}.manifest.v1+json`, config, layers });
    const platform = { architecture: image.target.oci, os: "linux" };
    manifests.push({ ...(await put(`${MEDIA}.manifest.v1+json`, manifest)), platform });
  }
  await writeFile(join(directory, "oci-layout"), json({ imageLayoutVersion: "1.0.0" }));
  const mediaType = `${MEDIA}.index.v1+json`;
  const index = (of: readonly Descriptor[]): Buffer => json({ schemaVersion: 2, mediaType, manifests: of });
  // Tools that copy images want one entry: several architectures are an index of their own.
  const [only] = manifests;
  const entry = manifests.length === 1 && only !== undefined ? only : await put(mediaType, index(manifests));
  const annotations = { "org.opencontainers.image.ref.name": build.version };
  await writeFile(join(directory, "index.json"), index([{ ...entry, annotations }]));
  return Object.fromEntries(manifests.map(({ digest, platform }) => [platform?.architecture ?? "", digest]));
}

function configOf(
  { target, packages }: Assembled,
  { version, commit, time }: Build,
  diffIds: readonly string[],
) {
  const created = new Date(time * 1000).toISOString();
  const history = [
    { created, created_by: `scripts/image: ${packages.length} packages of Debian ${DEBIAN.version}` },
    { created, created_by: `scripts/image: rds-csi ${version}` },
  ];
  return {
    created,
    architecture: target.oci,
    os: "linux",
    config: {
      User: `${USER.id}:${USER.id}`,
      Env: ["PATH=/usr/sbin:/usr/bin"],
      Entrypoint: [`/${EXECUTABLE}`],
      WorkingDir: "/",
      Labels: {
        "org.opencontainers.image.title": "rds-csi",
        "org.opencontainers.image.description": "Kubernetes CSI driver for the MikroTik ROSE Data Server",
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.version": version,
        "org.opencontainers.image.revision": commit,
        "org.opencontainers.image.created": created,
      },
    },
    rootfs: { type: "layers", diff_ids: diffIds },
    history,
  };
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
