import type { Buffer } from "node:buffer";
import type { Filesystem } from "../domain/access-mode.ts";
import { optionDanger } from "./flags.ts";

/**
 * What the superblock of a filesystem would have the kernel or e2fsck do beyond this device: a journal or log on another
 * one, whatever device has its number or UUID on this node, or a mount option that is never passed (flags.ts). Whoever
 * wrote the volume, wrote the superblock. undefined: nothing, or no such filesystem.
 * What mount options can set right (`errors=panic`, no barriers) is none of it: see safe-options.ts.
 * @param start the first SUPERBLOCK_SPAN bytes of the device
 */
export function superblockDanger(start: Buffer, filesystem: Filesystem): string | undefined {
  return filesystem === "xfs" ? xfsDanger(start) : ext4Danger(start.subarray(1024, 2048));
}

const EXT4_MAGIC = 0xef53;
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
