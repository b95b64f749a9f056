import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { tarOf } from "../../scripts/lib/image/tar.ts";
import { Tree } from "../../scripts/lib/image/tree.ts";
import { PAUSE } from "./node.ts";
import { run } from "./run.ts";

/** Image of the pods of tests: a shell and the usual programs, from Debian's static busybox. */
export const BUSYBOX = "cluster.test/busybox:1";
/** Name of the image of the examples in manifests/examples, for which that one stands in. */
const EXAMPLES = "docker.io/library/debian:13";

/** Where the images of sidecars come from, and what they contain. The names are those of their programs. */
export const SIDECARS = [
  "csi-provisioner",
  "csi-attacher",
  "csi-resizer",
  "csi-snapshotter",
  "livenessprobe",
  "csi-node-driver-registrar",
];

export function sidecarImage(name: string): { readonly name: string; readonly tag: string } {
  return { name: `cluster.test/${name}`, tag: "built" };
}

/** An image to be: its names, its files and its configuration. */
export interface Image {
  readonly references: readonly string[];
  readonly tree: Tree;
  /** As the image's configuration has it. */
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * Writes an archive with the images of the cluster's pods other than the driver's; the one that is there is kept.
 * @param programs what build.sh made; the archive lies beside it
 * @returns its path
 */
export async function makeImages(programs: string): Promise<string> {
  const file = await archiveNamed(programs, "images", import.meta.filename);
  if (existsSync(file)) return file;
  const images: Image[] = [];
  const busybox = await readFile(join(programs, "bin/busybox"));
  images.push({
    references: [BUSYBOX, EXAMPLES],
    tree: await busyboxTree(programs),
    config: { Cmd: ["/bin/sh"] },
  });
  const pause = new Tree();
  pause.add("busybox", { kind: "file", mode: 0o755, bytes: busybox });
  images.push({
    references: [PAUSE],
    tree: pause,
    config: { Entrypoint: ["/busybox", "sleep", "2147483647"] },
  });
  for (const name of SIDECARS) {
    const tree = new Tree();
    tree.add(name, { kind: "file", mode: 0o755, bytes: await readFile(join(programs, "bin", name)) });
    const { name: repository, tag } = sidecarImage(name);
    images.push({
      references: [`${repository}:${tag}`],
      tree,
      config: { Entrypoint: [`/${name}`], User: "65532" },
    });
  }
  await writeArchive(file, images);
  return file;
}

/** Path of an archive of images, by the source that says what is in it. */
export async function archiveNamed(programs: string, name: string, source: string): Promise<string> {
  const hash = createHash("sha256")
    .update(await readFile(source))
    .digest("hex")
    .slice(0, 8);
  return join(programs, `${name}-${hash}.tar`);
}

/** Writes images as an archive that containerd imports, whole or not at all. */
export async function writeArchive(file: string, images: readonly Image[]): Promise<void> {
  const fresh = `${file}.${process.pid}`;
  await writeFile(fresh, tarOf(archiveOf(images), 0));
  await rename(fresh, file);
}

/** The root filesystem of a small system: a shell and the usual programs. */
export async function busyboxTree(programs: string): Promise<Tree> {
  const busybox = await readFile(join(programs, "bin/busybox"));
  const applets = (await run(join(programs, "bin/busybox"), ["--list"])).trim().split("\n");
  const tree = new Tree();
  tree.add("bin/busybox", { kind: "file", mode: 0o755, bytes: busybox });
  for (const applet of applets) {
    if (applet !== "busybox") tree.add(`bin/${applet}`, { kind: "link", target: "busybox" });
  }
  for (const directory of ["proc", "sys", "dev", "mnt", "root", "etc"]) {
    tree.add(directory, { kind: "directory", mode: 0o755 });
  }
  tree.add("tmp", { kind: "directory", mode: 0o1777 });
  tree.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n");
  tree.write("etc/group", "root:x:0:\nnobody:x:65534:\n");
  return tree;
}

/** An OCI image layout with every image, as a tree. Source: OCI image specification 1.1, image-layout.md. */
function archiveOf(images: readonly Image[]): Tree {
  const archive = new Tree();
  const media = "application/vnd.oci.image";
  const put = (mediaType: string, bytes: Buffer) => {
    const hash = createHash("sha256").update(bytes).digest("hex");
    archive.add(`blobs/sha256/${hash}`, { kind: "file", mode: 0o644, bytes });
    return { mediaType, digest: `sha256:${hash}`, size: bytes.length };
  };
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const manifests = images.flatMap(({ references, tree, config }) => {
    const layer = put(`${media}.layer.v1.tar`, tarOf(tree, 0));
    const description = put(
      `${media}.config.v1+json`,
      json({
        architecture: process.arch === "arm64" ? "arm64" : "amd64",
        os: "linux",
        config: { Env: ["PATH=/bin"], ...config },
        rootfs: { type: "layers", diff_ids: [layer.digest] },
      }),
    );
    const manifest = put(
      `${media}.manifest.v1+json`,
      json({
        schemaVersion: 2,
        mediaType: `${media}.manifest.v1+json`,
        config: description,
        layers: [layer],
      }),
    );
    return references.map((name) => ({ ...manifest, annotations: { "io.containerd.image.name": name } }));
  });
  archive.add("oci-layout", { kind: "file", mode: 0o644, bytes: json({ imageLayoutVersion: "1.0.0" }) });
  const index = { schemaVersion: 2, mediaType: `${media}.index.v1+json`, manifests };
  archive.add("index.json", { kind: "file", mode: 0o644, bytes: json(index) });
  return archive;
}
