import { Buffer } from "node:buffer";
import type { Filesystem } from "../domain/access-mode.ts";
import { crc32c, readSuperblock } from "./superblock.ts";

/** `kept`: the UUID cannot be changed alone, for this reason. */
export type UuidVerdict =
  | { readonly kind: "same" }
  | { readonly kind: "changeable"; readonly uuid: string }
  | { readonly kind: "kept"; readonly reason: string };

/**
 * Whether a filesystem has a UUID, or could get it by a change of its superblock and nothing else.
 * @param start the first SUPERBLOCK_SPAN bytes of the device
 */
export function judgeUuid(start: Buffer, filesystem: Filesystem, wanted: string): UuidVerdict {
  const superblock = readSuperblock(start, filesystem);
  if (superblock.kind !== "whole") return { kind: "kept", reason: `its superblock is ${superblock.kind}` };
  if (superblock.uuid === wanted) return { kind: "same" };
  const reason = filesystem === "ext4" ? ext4Hindrance(start.subarray(1024, 2048)) : xfsHindrance(start);
  return reason === undefined ? { kind: "changeable", uuid: superblock.uuid } : { kind: "kept", reason };
}

const EXT4_COMPAT_STABLE_INODES = 0x800;
const EXT4_INCOMPAT_RECOVER = 0x4;
const EXT4_INCOMPAT_EA_INODE = 0x400;
const EXT4_INCOMPAT_CSUM_SEED = 0x2000;
const EXT4_RO_GDT_CSUM = 0x10;
const EXT4_RO_METADATA_CSUM = 0x400;
const EXT4_AT = {
  compat: 0x5c,
  incompat: 0x60,
  roCompat: 0x64,
  uuid: 0x68,
  seed: 0x270,
  checksum: 0x3fc,
} as const;

/**
 * Source: kernel documentation, filesystems/ext4, "Checksums" and "Super Block"; e2fsprogs, misc/tune2fs.c, -U. Checksums begin with a
 * seed made of the UUID. Only the feature metadata_csum_seed, which needs metadata_csum, can keep the seed beside another UUID.
 */
function ext4Hindrance(sb: Buffer): string | undefined {
  const roCompat = sb.readUInt32LE(EXT4_AT.roCompat);
  if ((sb.readUInt32LE(EXT4_AT.compat) & EXT4_COMPAT_STABLE_INODES) !== 0)
    return "the keys of encrypted files depend on it";
  if ((roCompat & EXT4_RO_METADATA_CSUM) !== 0) return undefined;
  if ((roCompat & EXT4_RO_GDT_CSUM) !== 0) return "the checksums of its block groups depend on it";
  const hasLargeAttributes = (sb.readUInt32LE(EXT4_AT.incompat) & EXT4_INCOMPAT_EA_INODE) !== 0;
  return hasLargeAttributes ? "the checksums of its large attributes depend on it" : undefined;
}

/** Whether the journal of an ext4 holds nothing that a mount would write over the superblock. */
export function isSettledExt4(start: Buffer): boolean {
  return (start.readUInt32LE(1024 + EXT4_AT.incompat) & EXT4_INCOMPAT_RECOVER) === 0;
}

/**
 * The first page of an ext4 with another UUID. Its checksums stay those of the first UUID, from which the seed is kept (Linux 4.4).
 * @param page the first 4096 bytes of a device that judgeUuid calls changeable
 */
export function ext4WithUuid(page: Buffer, uuid: string): Buffer {
  const changed = Buffer.from(page);
  const sb = changed.subarray(1024, 2048);
  const incompat = sb.readUInt32LE(EXT4_AT.incompat);
  const hasChecksums = (sb.readUInt32LE(EXT4_AT.roCompat) & EXT4_RO_METADATA_CSUM) !== 0;
  if (hasChecksums && (incompat & EXT4_INCOMPAT_CSUM_SEED) === 0) {
    sb.writeUInt32LE(crc32c(sb.subarray(EXT4_AT.uuid, EXT4_AT.uuid + 16)), EXT4_AT.seed);
    sb.writeUInt32LE((incompat | EXT4_INCOMPAT_CSUM_SEED) >>> 0, EXT4_AT.incompat);
  }
  bytesOf(uuid).copy(sb, EXT4_AT.uuid);
  if (hasChecksums) sb.writeUInt32LE(crc32c(sb.subarray(0, EXT4_AT.checksum)), EXT4_AT.checksum);
  return changed;
}

const XFS_AT = {
  uuid: 32,
  version: 100,
  sectorSize: 102,
  incompat: 216,
  checksum: 224,
  metaUuid: 248,
} as const;
const XFS_INCOMPAT_META_UUID = 0x4;
/** ftype, sparse inodes, meta_uuid, bigtime, 64-bit extent counters, exchange-range, parent pointers: no copy of the UUID elsewhere. */
const XFS_INCOMPAT_KNOWN = 0xef;

/** Source: kernel, fs/xfs/libxfs/xfs_format.h, struct xfs_dsb, sb_meta_uuid; xfsprogs, db/sb.c, uuid_f and do_uuid. */
function xfsHindrance(start: Buffer): string | undefined {
  if ((start.readUInt16BE(XFS_AT.version) & 0xf) !== 5) return "its format is older than version 5";
  if (start.readUInt16BE(XFS_AT.sectorSize) > 4096) return "its sectors are larger than 4096 bytes";
  const unknown = start.readUInt32BE(XFS_AT.incompat) & ~XFS_INCOMPAT_KNOWN;
  return unknown === 0
    ? undefined
    : `it has features that the driver does not know (0x${(unknown >>> 0).toString(16)})`;
}

/**
 * The sector of an XFS superblock, of any allocation group, with another UUID; all other metadata keeps the first one, which stays in
 * the superblock as meta_uuid.
 * @returns undefined if the sector holds no sound superblock of version 5
 */
export function xfsWithUuid(sector: Buffer, uuid: string): Buffer | undefined {
  const checksum = xfsChecksum(sector);
  if (sector.toString("latin1", 0, 4) !== "XFSB" || sector.readUInt32LE(XFS_AT.checksum) !== checksum)
    return undefined;
  const changed = Buffer.from(sector);
  const incompat = sector.readUInt32BE(XFS_AT.incompat);
  if ((incompat & XFS_INCOMPAT_META_UUID) === 0) {
    sector.copy(changed, XFS_AT.metaUuid, XFS_AT.uuid, XFS_AT.uuid + 16);
    changed.writeUInt32BE((incompat | XFS_INCOMPAT_META_UUID) >>> 0, XFS_AT.incompat);
  }
  bytesOf(uuid).copy(changed, XFS_AT.uuid);
  changed.writeUInt32LE(xfsChecksum(changed), XFS_AT.checksum);
  return changed;
}

/** The checksum that a sector or a log record of XFS has to have. */
function xfsChecksum(sector: Buffer): number {
  const bare = Buffer.from(sector);
  bare.writeUInt32LE(0, XFS_AT.checksum);
  return ~crc32c(bare) >>> 0;
}

/** The 16 bytes of a UUID in text form. */
export function bytesOf(uuid: string): Buffer {
  return Buffer.from(uuid.replaceAll("-", ""), "hex");
}
