import { Buffer } from "node:buffer";
import type { Entry, Tree } from "./tree.ts";

const BLOCK = 512;

/**
 * A tree as a tar archive whose bytes depend on the tree and the time only: sorted, owned by 0:0, without names of users.
 * Source: POSIX.1-2017, pax, ustar interchange format.
 * @param seconds time of change of every entry, since 1970
 */
export function tarOf(tree: Tree, seconds: number): Buffer {
  const parts: Buffer[] = [];
  for (const [path, entry] of tree.entries()) {
    parts.push(header(path, entry, seconds));
    if (entry.kind !== "file") continue;
    parts.push(entry.bytes, Buffer.alloc((BLOCK - (entry.bytes.length % BLOCK)) % BLOCK));
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}

const TYPES = { file: "0", link: "2", directory: "5" } as const;

function header(path: string, entry: Entry, seconds: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const [prefix, name] = split(entry.kind === "directory" ? `${path}/` : path);
  const target = entry.kind === "link" ? entry.target : "";
  if (Buffer.byteLength(target) > 100)
    throw new Error(`the target of the link ${path} is too long for ustar`);
  block.write(name, 0);
  block.write(octal(entry.kind === "link" ? 0o777 : entry.mode, 8), 100);
  block.write(octal(0, 8), 108);
  block.write(octal(0, 8), 116);
  block.write(octal(entry.kind === "file" ? entry.bytes.length : 0, 12), 124);
  block.write(octal(seconds, 12), 136);
  block.write("        ", 148);
  block.write(TYPES[entry.kind], 156);
  block.write(target, 157);
  block.write("ustar\u000000", 257);
  block.write(octal(0, 8), 329);
  block.write(octal(0, 8), 337);
  block.write(prefix, 345);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${octal(sum, 7)}\u0000 `, 148);
  return block;
}

function octal(value: number, width: number): string {
  return value.toString(8).padStart(width - 1, "0");
}

/** The last part of a path, up to 100 bytes, apart from the parts before it, up to 155. */
function split(path: string): readonly [string, string] {
  if (Buffer.byteLength(path) <= 100) return ["", path];
  for (let at = path.indexOf("/"); at > 0 && at < path.length - 1; at = path.indexOf("/", at + 1)) {
    const parts = [path.slice(0, at), path.slice(at + 1)] as const;
    if (Buffer.byteLength(parts[0]) <= 155 && Buffer.byteLength(parts[1]) <= 100) return parts;
  }
  throw new Error(`the path ${path} is too long for ustar`);
}
