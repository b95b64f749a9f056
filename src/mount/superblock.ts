import { Buffer } from "node:buffer";
import type { Filesystem } from "../domain/access-mode.ts";
import type { Superblock } from "../host/helper-answers.ts";
import { crc32c } from "./crc32c.ts";

/** Bytes that have to be read from the start of a device: the largest sector of XFS. */
export const SUPERBLOCK_SPAN = 32 * 1024;

/**
 * Looks for the superblock of one filesystem. Which bytes lie elsewhere, in files for example, makes no difference; nor
 * does which other signature a probing program finds there.
 * @param start the first SUPERBLOCK_SPAN bytes of the device
 */
export function readSuperblock(start: Buffer, wanted: Filesystem): Superblock {
  if (start.length < SUPERBLOCK_SPAN) return { kind: "other" };
  // With blocks of 1 KiB an ext4 has its group descriptors directly behind the superblock.
  if (isZero(start.subarray(0, wanted === "ext4" ? 2048 : 4096))) return { kind: "zeros" };
  if (wanted === "xfs") return readXfs(start);
  // Nothing of an ext4 is before its superblock: what stands there is of something else, perhaps of what replaced it.
  return isZero(start.subarray(0, 1024)) ? readExt4(start.subarray(1024, 2048)) : { kind: "other" };
}

const EXT4_MAGIC = 0xef53;
const EXT4_INCOMPAT_JOURNAL_DEV = 0x8;
const EXT4_RO_METADATA_CSUM = 0x400;
/** What ext2 and ext3 have as well; a filesystem with nothing else is one of them. Source: libblkid, superblocks/ext.c. */
const EXT3_INCOMPAT = 0x2 | 0x4 | 0x10;
const EXT3_RO_COMPAT = 0x1 | 0x2 | 0x4;
const CRC32C_TYPE = 1;

/** Source: kernel documentation, filesystems/ext4, "Super Block". */
function readExt4(sb: Buffer): Superblock {
  if (sb.readUInt16LE(0x38) !== EXT4_MAGIC) return { kind: "other" };
  const [incompat, roCompat] = [sb.readUInt32LE(0x60), sb.readUInt32LE(0x64)];
  const uuid = uuidAt(sb, 0x68);
  // Where the second half of the superblock is lost the features are still there: they are in the first.
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
