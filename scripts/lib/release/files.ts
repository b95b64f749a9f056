import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { gzipSync } from "node:zlib";
import { tarOf } from "../image/tar.ts";
import { Tree } from "../image/tree.ts";

/**
 * A folder as a tree, below another name; links stay links. Modes are 644, or 755 for what may be executed.
 * @param keep whether a path, from the folder on, is taken
 * @param edit the content that a file gets
 */
export async function treeOf(
  folder: string,
  name: string,
  keep: (path: string) => boolean = () => true,
  edit: (path: string, bytes: Buffer) => Buffer = (_, bytes) => bytes,
): Promise<Tree> {
  const tree = new Tree();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    const own = relative(folder, path);
    if (!keep(own)) continue;
    const to = join(name, own);
    if (entry.isSymbolicLink()) tree.add(to, { kind: "link", target: await readlink(path) });
    else if (entry.isDirectory()) tree.add(to, { kind: "directory", mode: 0o755 });
    else
      tree.add(to, {
        kind: "file",
        mode: (await stat(path)).mode & 0o111 ? 0o755 : 0o644,
        bytes: edit(own, await readFile(path)),
      });
  }
  return tree;
}

/** Where the image's name stands: in the chart's values, and in the kustomization that a site begins with. Paths from manifests/ on. */
const NAMED: Readonly<Record<string, RegExp>> = {
  "chart/values.yaml": /(?<=^ {2}repository: )rds-csi$/m,
  "examples/site/kustomization.yaml": /(?<=^ {4}newName: )\S+\/rds-csi$/m,
};

/**
 * The manifests with the name under which the image is published, for `treeOf`.
 * @param image name with registry
 * @throws Error when a file lacks the place for it
 */
export function namingImage(image: string): (path: string, bytes: Buffer) => Buffer {
  return (path, bytes) => {
    const place = NAMED[path];
    if (place === undefined) return bytes;
    const text = String(bytes);
    if (!place.test(text)) throw new Error(`manifests/${path} has no place for the name of the image`);
    return bytesOf(text.replace(place, image));
  };
}

/** The image of a project on GitHub, in its registry. @param homepage as package.json has it */
export function imageOf(homepage: string): string {
  const [, owner, name] = /^https:\/\/github\.com\/([\w.-]+)\/([\w.-]+?)(?:#.*)?$/.exec(homepage) ?? [];
  if (owner === undefined || name === undefined)
    throw new Error(`homepage ${homepage} is no repository of GitHub: use --image`);
  return `ghcr.io/${owner}/${name}`.toLowerCase();
}

/** A tree as `.tar.gz` whose bytes depend on the tree and the time only. */
export function archiveOf(tree: Tree, seconds: number): Buffer {
  const zipped = gzipSync(tarOf(tree, seconds), { level: 9 });
  // The operating system, which the format has as a note: unknown.
  zipped[9] = 255;
  return zipped;
}

/** Lines of `sha256sum`, sorted by name. */
export function checksums(files: ReadonlyMap<string, Buffer>): string {
  const lines = [...files].map(
    ([name, bytes]) => `${createHash("sha256").update(bytes).digest("hex")}  ${name}`,
  );
  return `${lines.toSorted((a, b) => (a.slice(66) < b.slice(66) ? -1 : 1)).join("\n")}\n`;
}

/**
 * The section of a version in a changelog, without its heading. A version that is not released yet has that of `Unreleased`.
 * @throws Error when there is none
 */
export function notesOf(changelog: string, version: string): string {
  const sections = changelog.split(/^## /m).slice(1);
  const name = version.includes("-") ? "[Unreleased]" : `[${version}]`;
  const found = sections.find((each) => each.startsWith(name));
  if (found === undefined) throw new Error(`CHANGELOG.md has no section ## ${name}`);
  const [, ...lines] = found.split("\n");
  return `# rds-csi ${version}\n\n${lines.join("\n").trim()}\n`;
}

/** Bytes of a text. */
export const bytesOf = (text: string): Buffer => Buffer.from(text);
