import { Buffer } from "node:buffer";
import { closeSync, openSync, readSync } from "node:fs";
import { blankRegions } from "./blank-regions.ts";

/** What a look at a device found. `offset` is in bytes. */
export type BlankFinding =
  | { readonly kind: "blank"; readonly bytesRead: number }
  | { readonly kind: "data"; readonly offset: number }
  | { readonly kind: "unreadable"; readonly detail: string };

const CHUNK = 1024 * 1024;

/**
 * Reads every place where something recognisable could be (see blankRegions) and answers "blank" only if all of it was
 * read and is zero. Blocks while the device does not answer: for the helper process only.
 * @param size expected size of the device in bytes; a device that ends earlier is unreadable
 */
export function lookForData(path: string, size: number, deep: boolean): BlankFinding {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  }
  const buffer = Buffer.alloc(CHUNK);
  const zeros = Buffer.alloc(CHUNK);
  let bytesRead = 0;
  try {
    for (const region of blankRegions(size, deep)) {
      for (let done = 0; done < region.length; ) {
        const length = Math.min(CHUNK, region.length - done);
        const offset = region.offset + done;
        buffer.fill(0xff, 0, length);
        const got = readSync(fd, buffer, 0, length, offset);
        if (got <= 0) return { kind: "unreadable", detail: `it ends at byte ${offset} instead of ${size}` };
        if (buffer.compare(zeros, 0, got, 0, got) !== 0) {
          return { kind: "data", offset: offset + buffer.subarray(0, got).findIndex((byte) => byte !== 0) };
        }
        bytesRead += got;
        done += got;
      }
    }
    return { kind: "blank", bytesRead };
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  } finally {
    closeSync(fd);
  }
}
