import { Buffer } from "node:buffer";
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs";
import { isCode } from "../host/files.ts";

/** Reads a device itself instead of the page cache. */
export interface DirectReader {
  /** false only for something that is not a block device. */
  readonly direct: boolean;
  /**
   * Reads at most `length` bytes at `offset` (both multiples of the logical sector size for a block device); fewer at
   * the end. The answer is valid until the next call.
   * @throws the error of read(2)
   */
  read(offset: number, length: number): Buffer;
  close(): void;
}

/** No kernel asks for more than a page. */
const PAGE = 4096;
/** Memory that the runtime hands out is aligned to at least this. */
const STEP = 8;

/**
 * Opens a path for reading: a block device with O_DIRECT, so that the answer comes from the device even if this node
 * has read it before; a plain file, as tests use, without. May block: for the helper process only.
 *
 * O_DIRECT wants memory at a multiple of the device's logical sector size (512 or 4096 bytes; open(2), NOTES), and no
 * program can read the address of a Buffer. So the buffer is a page larger than needed, and on EINVAL the next place in it
 * is tried, until the kernel accepts one. A short read inside one page proves nothing about alignment (measured on
 * Linux 6.18), hence every read may move on.
 * @param maxLength longest read in bytes
 * @param start where in the buffer the search for an aligned place begins, in bytes; tests begin at a wrong one
 * @throws the error of open(2)
 */
export function openDirect(path: string, maxLength: number, start = 0): DirectReader {
  const { fd, direct } = openForReading(path);
  const memory = Buffer.allocUnsafeSlow(maxLength + PAGE);
  let skew = start;
  const attempt = (offset: number, length: number): number => {
    for (let tries = 0; ; tries += 1) {
      try {
        // Bytes that read(2) does not overwrite must not look like zeros.
        memory.fill(0xff, skew, skew + length);
        return readSync(fd, memory, skew, length, offset);
      } catch (error) {
        const misaligned = direct && isCode(error, "EINVAL");
        if (!misaligned || tries >= PAGE / STEP) throw error;
        skew = (skew + STEP) % PAGE;
      }
    }
  };
  return {
    direct,
    read: (offset, length) => {
      const got = attempt(offset, length);
      return memory.subarray(skew, skew + got);
    },
    close: () => closeSync(fd),
  };
}

/**
 * Reads a device with openDirect and closes it. For the helper process only.
 * @returns the answer of `read`; `unreadable` with the error of open(2) or read(2)
 */
export function readDevice<T>(
  path: string,
  maxLength: number,
  read: (device: DirectReader) => T,
): T | { readonly kind: "unreadable"; readonly detail: string } {
  try {
    const device = openDirect(path, maxLength);
    try {
      return read(device);
    } finally {
      device.close();
    }
  } catch (error) {
    return { kind: "unreadable", detail: String(error) };
  }
}

function openForReading(path: string): { readonly fd: number; readonly direct: boolean } {
  const plain = openSync(path, "r");
  if (!fstatSync(plain).isBlockDevice()) return { fd: plain, direct: false };
  // The name may lead elsewhere by now: it is read direct or not at all.
  try {
    return { fd: openSync(path, constants.O_RDONLY | constants.O_DIRECT), direct: true };
  } finally {
    closeSync(plain);
  }
}
