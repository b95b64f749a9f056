import { Buffer } from "node:buffer";
import { bytesOf } from "./filesystem-uuid.ts";
import { crc32c } from "./superblock.ts";

/** A block of the log, and the least sector of a device, in bytes. */
export const LOG_BLOCK = 512;

/** The log of an XFS. Source for all of this file: kernel, fs/xfs/libxfs/xfs_log_format.h; fs/xfs/xfs_log_recover.c. */
export interface XfsLog {
  /** Blocks of 512 bytes. */
  readonly blocks: number;
  /** @returns so many blocks, which do not go beyond the end of the log; valid until the next call */
  read(block: number, count: number): Buffer;
}

/** The record that a clean unmount leaves as the last one. */
export interface UnmountRecord {
  /** Block of its header. */
  readonly block: number;
  /** Its header block and the rest of its bytes that the checksum covers. */
  readonly header: Buffer;
  readonly covered: Buffer;
  readonly uuid: string;
}

const MAGIC = 0xfeed_babe;
const AT = {
  cycle: 4,
  version: 8,
  length: 12,
  lsn: 16,
  checksum: 32,
  operations: 40,
  uuid: 304,
  size: 320,
} as const;
/** Bytes of a header that the checksum covers: sizeof(struct xlog_rec_header) on 64-bit machines. */
const HEADER_BYTES = 328;
/** Bytes of records that one header block describes, and those of a further header block that the checksum covers. */
const PER_HEADER = 32 * 1024;
const FURTHER_BYTES = 260;
const LONGEST_RECORD = 256 * 1024;
/** mkfs.xfs and xfs_repair write it, and the kernel takes it for right. */
const NO_CHECKSUM = 0;
const CLIENT_LOG = 0xaa;
const UNMOUNT = 0x20;

/**
 * Finds the record of a clean unmount at the end of a log. The kernel writes the log in circles: blocks have the number of their
 * circle, so the end is where the number falls by one.
 * @returns the reason if the last record is another one, or not all of it is as expected
 */
export function unmountRecord(log: XfsLog): UnmountRecord | string {
  const first = cycleOf(log.read(0, 1));
  const last = cycleOf(log.read(log.blocks - 1, 1));
  if (first === 0 || (last !== first && last !== first - 1)) return "the end of its log was not found";
  const end = last === first ? log.blocks : firstBelow(log, first);
  for (let back = 2; back <= Math.min(LONGEST_RECORD / LOG_BLOCK + 8, log.blocks); back += 1) {
    const block = (end - back + log.blocks) % log.blocks;
    const header = Buffer.from(log.read(block, 1));
    if (header.readUInt32BE(0) !== MAGIC) continue;
    const cycle = block < end ? first : first - 1;
    return checked(log, header, block, back, cycle);
  }
  return "its log has no record at its end";
}

function checked(
  log: XfsLog,
  header: Buffer,
  block: number,
  blocksToEnd: number,
  cycle: number,
): UnmountRecord | string {
  const unlike = "the last record of its log is not that of an unmount";
  const length = header.readUInt32BE(AT.length);
  const headers = Math.max(1, Math.ceil(header.readUInt32BE(AT.size) / PER_HEADER));
  const isWhole = length >= LOG_BLOCK && headers + length / LOG_BLOCK === blocksToEnd;
  const isInPlace = header.readUInt32BE(AT.lsn) === cycle && header.readUInt32BE(AT.lsn + 4) === block;
  if (header.readUInt32BE(AT.cycle) !== cycle || header.readUInt32BE(AT.version) !== 2) return unlike;
  if (!isWhole || !isInPlace || header.readUInt32BE(AT.operations) !== 1) return unlike;
  const body = Buffer.concat(
    Array.from({ length: blocksToEnd - 1 }, (_, index) =>
      Buffer.from(log.read((block + 1 + index) % log.blocks, 1)),
    ),
  );
  const data = body.subarray((headers - 1) * LOG_BLOCK);
  if (data.readUInt8(8) !== CLIENT_LOG || (data.readUInt8(9) & UNMOUNT) === 0) return unlike;
  const further = Array.from({ length: Math.ceil(length / PER_HEADER) - 1 }, (_, index) =>
    body.subarray(index * LOG_BLOCK, index * LOG_BLOCK + FURTHER_BYTES),
  );
  const covered = Buffer.concat([...further, data]);
  const checksum = header.readUInt32LE(AT.checksum);
  if (checksum !== NO_CHECKSUM && checksum !== checksumOf(header, covered))
    return "the last record of its log is damaged";
  const hex = header.toString("hex", AT.uuid, AT.uuid + 16);
  return { block, header, covered, uuid: hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5") };
}

/** The header block of a record with another UUID. */
export function recordWithUuid({ header, covered }: UnmountRecord, uuid: string): Buffer {
  const changed = Buffer.from(header);
  bytesOf(uuid).copy(changed, AT.uuid);
  if (header.readUInt32LE(AT.checksum) !== NO_CHECKSUM)
    changed.writeUInt32LE(checksumOf(changed, covered), AT.checksum);
  return changed;
}

function checksumOf(header: Buffer, covered: Buffer): number {
  const bare = Buffer.from(header.subarray(0, HEADER_BYTES));
  bare.writeUInt32LE(0, AT.checksum);
  return ~crc32c(Buffer.concat([bare, covered])) >>> 0;
}

/** The first block with another number than the first one's, as all before it have that. */
function firstBelow(log: XfsLog, first: number): number {
  let [low, high] = [0, log.blocks - 1];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (cycleOf(log.read(middle, 1)) === first) low = middle;
    else high = middle;
  }
  return high;
}

/** A block begins with the number of its circle, a header block has it behind its magic number. */
function cycleOf(block: Buffer): number {
  const start = block.readUInt32BE(0);
  return start === MAGIC ? block.readUInt32BE(AT.cycle) : start;
}
