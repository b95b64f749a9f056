import { Buffer } from "node:buffer";
import { chmod, lutimes, mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";

/** A file, link or directory of a root filesystem. All belong to root. */
export type Entry =
  | { readonly kind: "directory"; readonly mode: number }
  | { readonly kind: "link"; readonly target: string }
  | { readonly kind: "file"; readonly mode: number; readonly bytes: Buffer };

/** A root filesystem: entries by path without leading slash. */
export class Tree {
  readonly #entries = new Map<string, Entry>();

  /** Adds an entry and the directories above it. */
  add(path: string, entry: Entry): void {
    const parent = dirname(path);
    if (parent !== "." && !this.#entries.has(parent)) this.add(parent, { kind: "directory", mode: 0o755 });
    if (entry.kind !== "directory" || !this.#entries.has(path)) this.#entries.set(path, entry);
  }

  write(path: string, text: string): void {
    this.add(path, { kind: "file", mode: 0o644, bytes: Buffer.from(text) });
  }

  get(path: string): Entry | undefined {
    return this.#entries.get(path);
  }

  /** Paths and entries in the order of their bytes: a directory comes before its content. */
  entries(): readonly (readonly [string, Entry])[] {
    return [...this.#entries].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  }
}

/** A tree and the time of change of everything in it, seconds since 1970. */
export interface Dated {
  readonly tree: Tree;
  readonly seconds: number;
}

/**
 * Writes trees into a new directory, later ones over earlier ones. Earlier content is replaced at once, when everything
 * is written: a lab may be running from it.
 */
export async function writeTrees(trees: readonly Dated[], directory: string): Promise<void> {
  await mkdir(dirname(directory), { recursive: true });
  const fresh = await mkdtemp(`${directory}.`);
  await chmod(fresh, 0o755);
  await fill(trees, fresh);
  const old = `${fresh}.old`;
  await rename(directory, old).catch(() => undefined);
  await rename(fresh, directory);
  await rm(old, { recursive: true, force: true });
}

async function fill(trees: readonly Dated[], directory: string): Promise<void> {
  for (const { tree, seconds } of trees) {
    for (const [path, entry] of tree.entries()) await writeEntry(join(directory, path), entry, seconds);
  }
  // Last, as writing into a directory changes its time.
  for (const { tree, seconds } of trees) {
    for (const [path, entry] of tree.entries()) {
      if (entry.kind === "directory") await utimes(join(directory, path), seconds, seconds);
    }
  }
}

async function writeEntry(at: string, entry: Entry, seconds: number): Promise<void> {
  switch (entry.kind) {
    case "directory":
      await mkdir(at, { recursive: true });
      return await chmod(at, entry.mode);
    case "link":
      await symlink(entry.target, at);
      return await lutimes(at, seconds, seconds);
    case "file":
      await writeFile(at, entry.bytes);
      await chmod(at, entry.mode);
      return await utimes(at, seconds, seconds);
  }
}
