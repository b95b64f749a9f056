import { readFileSync } from "node:fs";

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
