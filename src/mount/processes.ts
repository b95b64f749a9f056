import { existsSync, readFileSync } from "node:fs";
import { readdir, readlink } from "node:fs/promises";

/**
 * How many processes this one may not look into: any of them may use a device unseen. Asks for the same right that the
 * process scan needs (PTRACE_MODE_READ, ptrace(2)) with a call that touches neither their files nor their memory, so it
 * never blocks; safe outside the helper process.
 */
export async function countUninspectable(
  procRoot: string,
  read: (path: string) => Promise<string> = readlink,
): Promise<number> {
  let count = 0;
  for (const name of await readdir(procRoot)) {
    if (!/^\d+$/.test(name)) continue;
    try {
      await read(`${procRoot}/${name}/ns/mnt`);
    } catch (error) {
      // Others mean that it has just ended; so may these, if it is not there any more.
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if ((code === "EACCES" || code === "EPERM") && existsSync(`${procRoot}/${name}`)) count += 1;
    }
  }
  return count;
}

/** Name and parent of the process of a directory in /proc. Source: proc(5), /proc/pid/stat. */
export function processAt(base: string): { readonly command: string; readonly parent: number } {
  try {
    // The name is in parentheses and may hold anything, also parentheses.
    const match = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`${base}/stat`, "utf8"));
    if (match !== null) return { command: match[1] ?? "?", parent: Number(match[2]) };
  } catch {
    // It has ended.
  }
  return { command: "?", parent: 0 };
}
