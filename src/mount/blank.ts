import { Buffer } from "node:buffer";
import type { BlankFinding } from "../host/helper-answers.ts";
import { blankRegions } from "./blank-regions.ts";
import { type DirectReader, openDirect } from "./direct-reader.ts";

const CHUNK = 1024 * 1024;

/**
 * Reads every place where something recognisable could be (see blankRegions) and answers "blank" only if all of it was
 * read, from the device itself, and is zero. Blocks while the device does not answer: for the helper process only.
 * @param size expected size of the device in bytes; a device that ends earlier is unreadable
 */
export function lookForData(path: string, size: number, deep: boolean): BlankFinding {
  let device: DirectReader;
  try {
    device = openDirect(path, CHUNK);
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  }
  const zeros = Buffer.alloc(CHUNK);
  let bytesRead = 0;
  try {
    for (const region of blankRegions(size, deep)) {
      for (let done = 0; done < region.length; ) {
        const length = Math.min(CHUNK, region.length - done);
        const offset = region.offset + done;
        const got = device.read(offset, length);
        if (got.length === 0) {
          return { kind: "unreadable", detail: `it ends at byte ${offset} instead of ${size}` };
        }
        if (got.compare(zeros, 0, got.length) !== 0) {
          return { kind: "data", offset: offset + got.findIndex((byte) => byte !== 0) };
        }
        bytesRead += got.length;
        done += got.length;
      }
    }
    return { kind: "blank", bytesRead };
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  } finally {
    device.close();
  }
}
