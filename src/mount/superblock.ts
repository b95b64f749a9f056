import { Buffer } from "node:buffer";
import type { Filesystem } from "../domain/access-mode.ts";
import type { Ext4State, Superblock } from "../host/helper-answers.ts";
import { readDevice } from "./direct-reader.ts";
import { optionDanger } from "./flags.ts";

/** Bytes that have to be read from the start of a device: the largest sector of XFS. */
export const SUPERBLOCK_SPAN = 32 * 1024;

/**
 * Looks for the superblock of one filesystem. Bytes elsewhere make no difference, for example in files, and neither does any
 * signature that a probing program finds there.
 * @param start the first SUPERBLOCK_SPAN bytes of the device
 */
export function readSuperblock(start: Buffer, wanted: Filesystem): Superblock {
  if (start.length < SUPERBLOCK_SPAN) return { kind: "other" };
  // With blocks of 1 KiB an ext4 has its group descriptors directly behind the superblock.
  if (isZero(start.subarray(0, wanted === "ext4" ? 2048 : 4096))) return { kind: "zeros" };
  if (wanted === "xfs") return readXfs(start);
  // An ext4 has zeros before its superblock. Other bytes belong to another format, which may have replaced it.
  return isZero(start.subarray(0, 1024)) ? readExt4(start.subarray(1024, 2048)) : { kind: "other" };
}

const EXT4_MAGIC = 0xef53;
const EXT4_INCOMPAT_JOURNAL_DEV = 0x8;
const EXT4_RO_METADATA_CSUM = 0x400;
/** The features of ext2 and ext3; a filesystem without any other is one of them. Source: libblkid, superblocks/ext.c. */
const EXT3_INCOMPAT = 0x2 | 0x4 | 0x10;
const EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4;
const CRC32C_TYPE = 1;

/** Source: kernel documentation, filesystems/ext4, "Super Block". */
function readExt4(sb: Buffer): Superblock {
  if (sb.readUInt16LE(0x38) !== EXT4_MAGIC) return { kind: "other" };
  const [incompat, roCompat] = [sb.readUInt32LE(0x60), sb.readUInt32LE(0x64)];
  const uuid = uuidAt(sb, 0x68);
  // The features are in the first half of the superblock, and so outlive a loss of the second half.
  const isExt4 = (incompat & ~EXT3_INCOMPAT) !== 0 || (roCompat & ~EXT3_RO_COMPAT) !== 0;
  if (!isExt4 || (incompat & EXT4_INCOMPAT_JOURNAL_DEV) !== 0) return { kind: "other" };
  const wrong = ext4Fault(sb);
  if (wrong === undefined && !hasRightChecksum(sb, roCompat)) {
    // Times and counts that every mount for writing sets.
    const everMounted = sb.readUInt32LE(0x2c) !== 0 || sb.readUInt16LE(0x34) !== 0;
    if (!everMounted) return { kind: "unfinished", uuid };
    return { kind: "damaged", detail: "the checksum of its superblock is wrong" };
  }
  return wrong === undefined ? { kind: "whole", uuid } : { kind: "damaged", detail: wrong };
}

function ext4Fault(sb: Buffer): string | undefined {
  const blockSize = 1024 * 2 ** Math.min(sb.readUInt32LE(0x18), 32);
  const inodeSize = sb.readUInt16LE(0x58);
  if (blockSize > 65_536) return `its superblock names blocks of ${blockSize} bytes`;
  if (sb.readUInt32LE(0x4c) < 1) return "its superblock has revision 0";
  if (sb.readUInt32LE(0x00) === 0 || sb.readUInt32LE(0x28) === 0) return "its superblock names no inodes";
  if (sb.readUInt32LE(0x04) === 0 && sb.readUInt32LE(0x150) === 0) return "its superblock names no blocks";
  if (sb.readUInt32LE(0x20) === 0) return "its superblock names groups without blocks";
  if (inodeSize < 128 || inodeSize > blockSize || !isPowerOf2(inodeSize)) {
    return `its superblock names inodes of ${inodeSize} bytes`;
  }
  return undefined;
}

function hasRightChecksum(sb: Buffer, roCompat: number): boolean {
  if ((roCompat & EXT4_RO_METADATA_CSUM) === 0) return true;
  return sb.readUInt8(0x175) === CRC32C_TYPE && sb.readUInt32LE(0x3fc) === crc32c(sb.subarray(0, 0x3fc));
}

const XFS_MAGIC = "XFSB";
const XFS_CRC_AT = 224;

/** Source: kernel, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb; xfs_sb.c, xfs_validate_sb_common. */
function readXfs(start: Buffer): Superblock {
  if (start.toString("latin1", 0, 4) !== XFS_MAGIC) return { kind: "other" };
  const blockSize = start.readUInt32BE(4);
  const sectorSize = start.readUInt16BE(102);
  const version = start.readUInt16BE(100) & 0xf;
  if (!isPowerOf2(blockSize) || blockSize < 512 || blockSize > 65_536) {
    return { kind: "damaged", detail: `its superblock names blocks of ${blockSize} bytes` };
  }
  if (!isPowerOf2(sectorSize) || sectorSize < 512 || sectorSize > SUPERBLOCK_SPAN) {
    return { kind: "damaged", detail: `its superblock names sectors of ${sectorSize} bytes` };
  }
  if (version !== 4 && version !== 5) {
    return { kind: "damaged", detail: `its superblock has version ${version}` };
  }
  if (start.readBigUInt64BE(8) === 0n || start.readUInt32BE(84) === 0 || start.readUInt32BE(88) === 0) {
    return { kind: "damaged", detail: "its superblock names no blocks" };
  }
  if (version === 5) {
    const sector = Buffer.from(start.subarray(0, sectorSize));
    const stored = sector.readUInt32LE(XFS_CRC_AT);
    sector.writeUInt32LE(0, XFS_CRC_AT);
    if (stored !== ~crc32c(sector) >>> 0) {
      return { kind: "damaged", detail: "the checksum of its superblock is wrong" };
    }
  }
  // mkfs.xfs clears it as the very last; no kernel mounts it before.
  const inProgress = start.readUInt8(126) !== 0;
  return { kind: inProgress ? "unfinished" : "whole", uuid: uuidAt(start, 32) };
}

function uuidAt(bytes: Buffer, offset: number): string {
  const hex = bytes.toString("hex", offset, offset + 16);
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

function isPowerOf2(value: number): boolean {
  return value > 0 && (value & (value - 1)) === 0;
}

const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ (value & 1 ? 0x82f6_3b78 : 0);
  return value;
});

/**
 * CRC-32C (Castagnoli, reflected) of some bytes, begun with all ones and not inverted at the end, as ext4 stores it; XFS
 * stores the inverse. Source: RFC 3720, appendix B.4.
 */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffff_ffff;
  for (const byte of bytes) value = (TABLE[(value ^ byte) & 0xff] ?? 0) ^ (value >>> 8);
  return value >>> 0;
}

/**
 * The reason for which a filesystem would have the kernel or e2fsck act beyond this device: a journal or log on another
 * device of this node, found by number or UUID, or a mount option that is never passed (flags.ts). The writer of the volume
 * wrote the superblock. undefined: no reason, or another filesystem.
 * Settings that mount options overrule (`errors=panic`, no barriers) are no reason: see withSafeOptions in flags.ts.
 * @param start the first SUPERBLOCK_SPAN bytes of the device
 */
export function superblockDanger(start: Buffer, filesystem: Filesystem): string | undefined {
  return filesystem === "xfs" ? xfsDanger(start) : ext4Danger(start.subarray(1024, 2048));
}

const EXT4_COMPAT_HAS_JOURNAL = 0x4;
const EXT4_MOUNT_OPTIONS_LENGTH = 64;

/**
 * Source: kernel documentation, filesystems/ext4, "Super Block" (s_journal_uuid, s_journal_inum, s_journal_dev, s_mount_opts);
 * fs/ext4/super.c, ext4_load_journal and parse_apply_sb_mount_options; e2fsprogs, e2fsck/journal.c, e2fsck_get_journal, which
 * looks for a journal device also where the filesystem is not marked as having a journal.
 */
function ext4Danger(sb: Buffer): string | undefined {
  if (sb.length < 1024 || sb.readUInt16LE(0x38) !== EXT4_MAGIC) return undefined;
  const hasJournal = (sb.readUInt32LE(0x5c) & EXT4_COMPAT_HAS_JOURNAL) !== 0;
  const inode = sb.readUInt32LE(0xe0);
  const namesDevice = sb.readUInt32LE(0xe4) !== 0;
  const namesUuid = sb.subarray(0xd0, 0xe0).some((byte) => byte !== 0);
  if (namesDevice || (inode === 0 && (hasJournal || namesUuid))) return "its journal is on another device";
  const text = sb.toString("latin1", 0x200, 0x200 + EXT4_MOUNT_OPTIONS_LENGTH).replace(/\0.*$/s, "");
  for (const option of text.split(",").filter((each) => each !== "")) {
    const reason = optionDanger(option, false);
    if (reason === undefined) continue;
    const name = /^[A-Za-z0-9_.-]+/.exec(option)?.[0] ?? "?";
    return `its superblock holds the mount option ${name}: ${reason}`;
  }
  return undefined;
}

const XFS_INCOMPAT_ZONED = 0x200;

/**
 * Source: kernel, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb (sb_rblocks, sb_logstart: 0 for an external log); a zoned
 * filesystem may have its realtime section on the same device.
 */
function xfsDanger(start: Buffer): string | undefined {
  if (start.length < 512 || start.toString("latin1", 0, 4) !== "XFSB") return undefined;
  if (start.readBigUInt64BE(48) === 0n) return "its log is on another device";
  const zoned = (start.readUInt16BE(100) & 0xf) === 5 && (start.readUInt32BE(216) & XFS_INCOMPAT_ZONED) !== 0;
  return start.readBigUInt64BE(16) !== 0n && !zoned ? "its realtime section is on another device" : undefined;
}

const EXT4_STATE_VALID = 1;
const EXT4_STATE_ERRORS = 2;
const EXT4_INCOMPAT_RECOVER = 4;

/**
 * Reads the primary superblock of an ext4 (or ext2, ext3), from the device itself. Blocks while the device does not
 * answer: for the helper process only.
 * Source: kernel documentation, filesystems/ext4, "Super Block".
 */
export function readExt4State(path: string): Ext4State {
  return readDevice(path, 4096, (device) => ext4State(device.read(0, 4096)));
}

function ext4State(start: Buffer): Ext4State {
  if (start.length < 4096) return { kind: "unreadable", detail: `only ${start.length} bytes could be read` };
  const sb = start.subarray(1024, 2048);
  if (sb.readUInt16LE(0x38) !== EXT4_MAGIC) return { kind: "other" };
  const state = sb.readUInt16LE(0x3a);
  const hasJournal = (sb.readUInt32LE(0x5c) & EXT4_COMPAT_HAS_JOURNAL) !== 0;
  const errorCount = sb.readUInt32LE(0x194);
  const unclean = !hasJournal && (state & EXT4_STATE_VALID) === 0;
  return {
    kind: "ext4",
    needsCheck: (state & EXT4_STATE_ERRORS) !== 0 || errorCount > 0 || unclean,
    errorCount,
    needsRecovery: (sb.readUInt32LE(0x60) & EXT4_INCOMPAT_RECOVER) !== 0,
  };
}
