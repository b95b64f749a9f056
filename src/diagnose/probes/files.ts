import { access, readdir, readFile, readlink } from "node:fs/promises";

/** Small reads of /proc, /sys and /etc that answer undefined whatever the reason. Never for paths on a volume. */

export async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").then(
    (text) => text.trimEnd(),
    () => undefined,
  );
}

export async function linkOf(path: string): Promise<string | undefined> {
  return await readlink(path).catch(() => undefined);
}

export async function namesIn(path: string): Promise<readonly string[]> {
  return await readdir(path).catch(() => []);
}

export async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
