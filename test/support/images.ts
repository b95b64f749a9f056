import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync, writeSync } from "node:fs";

/** Bytes of an image file. */
export function readImage(path: string, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  const file = openSync(path, "r");
  readSync(file, bytes, 0, length, offset);
  closeSync(file);
  return bytes;
}

/** Overwrites bytes of an image file; each character of a text is one byte. */
export function writeImage(path: string, offset: number, content: string | Buffer): void {
  const bytes = typeof content === "string" ? Buffer.from(content, "latin1") : content;
  const file = openSync(path, "r+");
  const written = writeSync(file, bytes, 0, bytes.length, offset);
  closeSync(file);
  if (written !== bytes.length)
    throw new Error(`${written} of ${bytes.length} bytes were written to ${path}`);
}
