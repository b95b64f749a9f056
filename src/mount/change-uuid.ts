import { Buffer } from "node:buffer";
import { constants, fdatasyncSync, fstatSync, writeSync } from "node:fs";
import type { Filesystem } from "../domain/access-mode.ts";
import { deviceNumber, isCode } from "../host/files.ts";
import type { UuidFinding, UuidOutcome } from "../host/helper-answers.ts";
import { openDirect, readDevice } from "./direct-reader.ts";
import { openExclusive } from "./exclusive.ts";
import { ext4WithUuid, isSettledExt4, judgeUuid, xfsWithUuid } from "./filesystem-uuid.ts";
import { SUPERBLOCK_SPAN } from "./superblock.ts";
import { LOG_BLOCK, recordWithUuid, type UnmountRecord, unmountRecord, type XfsLog } from "./xfs-log.ts";

/** All reads and writes have this size and are aligned to it: no device has larger sectors. */
export const PAGE = 4096;
const NIL = "00000000-0000-0000-0000-000000000000";

/** Reads at a multiple of PAGE; the answer is valid until the next call. */
export type ReadAt = (offset: number, length: number) => Buffer;

/** A page with its new content. `flush`: everything before it is durable first. */
export interface PageWrite {
  readonly offset: number;
  readonly content: Buffer;
  readonly flush: boolean;
}

/**
 * Looks whether the filesystem of a device has a UUID, or could get it. Blocks while the device does not answer: for the helper
 * process only.
 */
export function lookForUuid(path: string, filesystem: Filesystem, wanted: string): UuidFinding {
  return readDevice(path, SUPERBLOCK_SPAN, (device) => {
    const read: ReadAt = (offset, length) => readAt(device.read(offset, length), offset, length);
    const start = Buffer.from(read(0, SUPERBLOCK_SPAN));
    const verdict = judgeUuid(start, filesystem, wanted);
    if (verdict.kind !== "changeable") return verdict;
    const unsettled = unsettledReason(start, read, filesystem);
    return { ...verdict, ...(unsettled === undefined ? {} : { unsettled }) };
  });
}

/**
 * Gives the filesystem of a device another UUID, durably, while nothing else has the device open exclusively. Each write
 * replaces one page. After a crash between any two of them the filesystem is sound and can be mounted, and the next call goes on. For the
 * helper process only.
 * @param number `major:minor` that the node must have
 */
export function changeUuid(
  path: string,
  number: string,
  filesystem: Filesystem,
  wanted: string,
): UuidOutcome {
  let begun = false;
  try {
    // The page cache may hold what was there before a mount: nothing of it may be written back.
    const device = openExclusive(path, constants.O_RDWR | constants.O_DIRECT);
    try {
      const { fd } = device;
      const stat = fstatSync(fd);
      const found = stat.isBlockDevice() ? deviceNumber(stat.rdev) : "not a block device";
      if (found !== number) return { kind: "refused", detail: `${path} is ${found} instead of ${number}` };
      const reader = openDirect(path, SUPERBLOCK_SPAN);
      try {
        const read: ReadAt = (offset, length) => readAt(reader.read(offset, length), offset, length);
        const writes = uuidWrites(read, filesystem, wanted);
        if (typeof writes === "string") return { kind: "kept", reason: writes };
        begun = true;
        for (const { offset, content, flush } of writes) {
          if (flush) fdatasyncSync(fd);
          writePage(fd, content, offset);
        }
        fdatasyncSync(fd);
        if (judgeUuid(Buffer.from(read(0, SUPERBLOCK_SPAN)), filesystem, wanted).kind === "same")
          return { kind: "done" };
        return { kind: "failed", detail: "the superblock does not read as it was written" };
      } finally {
        reader.close();
      }
    } finally {
      device.close();
    }
  } catch (error) {
    return { kind: begun ? "failed" : "refused", detail: String(error) };
  }
}

/**
 * The writes, in order, that give a filesystem another UUID.
 *
 * ext4: one write, of the superblock. XFS: the kernel refuses a log whose last record has another UUID than the superblock, unless that
 * is nil. So the record gets the nil UUID first, and the new one when all superblocks have that. The first superblock, which alone a
 * mount reads, comes after those of the other allocation groups: once it has the new UUID, no later call is needed.
 * @param read is asked for each page right before the write of that page
 * @returns the reason if the UUID cannot be changed
 */
export function uuidWrites(
  read: ReadAt,
  filesystem: Filesystem,
  wanted: string,
): Iterable<PageWrite> | string {
  const start = Buffer.from(read(0, SUPERBLOCK_SPAN));
  const verdict = judgeUuid(start, filesystem, wanted);
  if (verdict.kind === "same") return [];
  if (verdict.kind === "kept") return verdict.reason;
  if (filesystem === "ext4") {
    if (!isSettledExt4(start)) return "its journal has to be replayed first";
    return [{ offset: 0, content: ext4WithUuid(start.subarray(0, PAGE), wanted), flush: false }];
  }
  const record = settledRecord(start, read);
  if (typeof record === "string") return record;
  for (const sector of superblocks(start, read)) {
    if (xfsWithUuid(sector.content, wanted) === undefined)
      return `the superblock of its allocation group ${sector.group} is damaged`;
  }
  return xfsWrites(start, read, record, wanted);
}

/** One after the other, as an XFS that began small and grew has many allocation groups. Those that have the UUID already are left out. */
function* xfsWrites(
  start: Buffer,
  read: ReadAt,
  record: UnmountRecord,
  wanted: string,
): Generator<PageWrite> {
  const page = (offset: number, content: Buffer, flush: boolean): PageWrite => {
    const at = Math.floor(offset / PAGE) * PAGE;
    const changed = Buffer.from(read(at, PAGE));
    content.copy(changed, offset - at);
    return { offset: at, content: changed, flush };
  };
  const recordAt = logStart(start) + record.block * LOG_BLOCK;
  yield page(recordAt, recordWithUuid(record, NIL), false);
  let isFirst = true;
  for (const { group, offset, content } of superblocks(start, read)) {
    const changed = xfsWithUuid(content, wanted);
    if (changed === undefined || changed.equals(content)) continue;
    yield page(offset, changed, isFirst || group === 0);
    isFirst = false;
  }
  yield page(recordAt, recordWithUuid(record, wanted), true);
}

/** The superblocks of an XFS, the first one last. */
function* superblocks(
  start: Buffer,
  read: ReadAt,
): Generator<{ readonly group: number; readonly offset: number; readonly content: Buffer }> {
  const { sectorSize, groupBytes, groups } = geometryOf(start);
  for (let group = groups - 1; group >= 0; group -= 1) {
    const offset = group * groupBytes;
    const at = Math.floor(offset / PAGE) * PAGE;
    const content = Buffer.from(read(at, PAGE).subarray(offset - at, offset - at + sectorSize));
    yield { group, offset, content };
  }
}

function unsettledReason(start: Buffer, read: ReadAt, filesystem: Filesystem): string | undefined {
  if (filesystem === "ext4") return isSettledExt4(start) ? undefined : "its journal has to be replayed first";
  const record = settledRecord(start, read);
  return typeof record === "string" ? record : undefined;
}

/** The last record of the log of an XFS, if that is the record of an unmount and of this filesystem. */
function settledRecord(start: Buffer, read: ReadAt): UnmountRecord | string {
  const from = logStart(start);
  const blocks = (start.readUInt32BE(96) * geometryOf(start).blockSize) / LOG_BLOCK;
  const log: XfsLog = {
    blocks,
    read: (block, count) => {
      const offset = from + block * LOG_BLOCK;
      const at = Math.floor(offset / PAGE) * PAGE;
      return read(at, PAGE).subarray(offset - at, offset - at + count * LOG_BLOCK);
    },
  };
  const record = unmountRecord(log);
  if (typeof record === "string") return record;
  const own = start.toString("hex", 32, 48);
  const isOwn = [own, NIL.replaceAll("-", "")].includes(record.uuid.replaceAll("-", ""));
  return isOwn ? record : "the last record of its log has the UUID of another filesystem";
}

/** Source: kernel, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb. */
function geometryOf(start: Buffer) {
  const blockSize = start.readUInt32BE(4);
  return {
    blockSize,
    sectorSize: start.readUInt16BE(102),
    groupBytes: start.readUInt32BE(84) * blockSize,
    groups: start.readUInt32BE(88),
  };
}

/** Where the log begins, in bytes: its superblock names a group and a block in it. */
function logStart(start: Buffer): number {
  const { blockSize, groupBytes } = geometryOf(start);
  const bits = BigInt(start.readUInt8(124));
  const place = start.readBigUInt64BE(48);
  const inGroup = place & ((1n << bits) - 1n);
  return Number(place >> bits) * groupBytes + Number(inGroup) * blockSize;
}

function readAt(bytes: Buffer, offset: number, length: number): Buffer {
  if (bytes.length !== length) throw new Error(`only ${bytes.length} bytes could be read at ${offset}`);
  return bytes;
}

/** O_DIRECT wants aligned memory; see openDirect. */
function writePage(fd: number, content: Buffer, offset: number): void {
  const step = 8;
  const memory = Buffer.allocUnsafeSlow(2 * PAGE);
  for (let skew = 0; ; skew += step) {
    content.copy(memory, skew);
    try {
      const written = writeSync(fd, memory, skew, PAGE, offset);
      if (written !== PAGE) throw new Error(`only ${written} bytes could be written at ${offset}`);
      return;
    } catch (error) {
      if (!isCode(error, "EINVAL") || skew + step > PAGE) throw error;
    }
  }
}
