import { Buffer } from "node:buffer";
import type { BlankFinding } from "../host/helper-answers.ts";
import { readDevice } from "./direct-reader.ts";

const CHUNK = 1024 * 1024;

/**
 * Reads every place where a signature could be (see blankRegions) and answers "blank" only if all of them were read, from
 * the device itself, and are zero. Blocks while the device does not answer: for the helper process only.
 * @param size expected size of the device in bytes; a device that ends earlier is unreadable
 */
export function lookForData(path: string, size: number, deep: boolean): BlankFinding {
  const zeros = Buffer.alloc(CHUNK);
  return readDevice<BlankFinding>(path, CHUNK, (device) => {
    let bytesRead = 0;
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
  });
}

/** A stretch of a device, in bytes. */
export interface Region {
  readonly offset: number;
  readonly length: number;
}

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;
const SAMPLE = 4 * KIB;
/** The deep check takes at most so many samples; on larger devices they lie further apart. */
const MAX_SAMPLES = 16_384;

/**
 * The places on a device where any known format keeps a signature. Always: the first 8 MiB (ext4, XFS, Btrfs, LVM, MD 1.1/1.2, LUKS
 * with its spare header, GPT, swap, F2FS, ZFS labels, partition tables), the last MiB (GPT backup, MD 0.90/1.0, ZFS
 * labels), the first ext4 backup superblocks for every block size, the Btrfs copies at 64 MiB and 256 GiB, and the
 * heads of XFS allocation groups for the usual 4 groups.
 *
 * `deep` adds every place where ext4 (block size 4 KiB, `sparse_super`) keeps a backup and a sample at the start and in
 * the middle of every ext4 block group of 128 MiB, at most 16384 groups evenly spread.
 *
 * @param size of the device in bytes
 * @returns disjoint, ascending, inside the device, multiples of 512 bytes (if the size is)
 */
export function blankRegions(size: number, deep: boolean): readonly Region[] {
  const wanted: Region[] = [
    { offset: 0, length: 8 * MIB },
    { offset: size - MIB, length: MIB },
    // First ext4 backups: block 8193 of 1 KiB, 16384 of 2 KiB, 32768 of 4 KiB, 65536*8 of 64 KiB pages.
    { offset: 8 * MIB, length: SAMPLE },
    { offset: 32 * MIB, length: SAMPLE },
    { offset: 128 * MIB, length: SAMPLE },
    { offset: 32 * GIB, length: SAMPLE },
    // Btrfs superblock copies.
    { offset: 64 * MIB, length: SAMPLE },
    { offset: 256 * GIB, length: SAMPLE },
  ];
  for (const quarter of [1, 2, 3]) {
    const head = alignDown((size / 4) * quarter, 64 * KIB);
    wanted.push({ offset: head - 64 * KIB, length: 128 * KIB });
  }
  if (deep) {
    const group = 128 * MIB;
    for (const base of [3, 5, 7]) {
      for (let power = base; power * group < size; power *= base) {
        wanted.push({ offset: power * group, length: SAMPLE });
      }
    }
    const stride = group * Math.max(1, Math.ceil(size / group / MAX_SAMPLES));
    for (let offset = 0; offset < size; offset += stride) {
      wanted.push({ offset, length: SAMPLE }, { offset: offset + group / 2, length: SAMPLE });
    }
  }
  return merge(wanted, size);
}

/** Clips to [0, size), sorts and joins overlapping or touching regions. */
function merge(regions: readonly Region[], size: number): readonly Region[] {
  const clipped = regions
    .map(({ offset, length }) => ({ start: Math.max(0, offset), end: Math.min(size, offset + length) }))
    .filter(({ start, end }) => end > start)
    .sort((a, b) => a.start - b.start);
  const merged: { start: number; end: number }[] = [];
  for (const next of clipped) {
    const last = merged.at(-1);
    if (last !== undefined && next.start <= last.end) last.end = Math.max(last.end, next.end);
    else merged.push({ ...next });
  }
  return merged.map(({ start, end }) => ({ offset: start, length: end - start }));
}

function alignDown(value: number, unit: number): number {
  return Math.floor(value / unit) * unit;
}
