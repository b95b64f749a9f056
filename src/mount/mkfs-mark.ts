import { Buffer } from "node:buffer";
import { createHash, randomBytes } from "node:crypto";
import { FILESYSTEMS, type Filesystem } from "../domain/access-mode.ts";
import { uuidFrom } from "../domain/filesystem-uuid.ts";
import type { MkfsMark } from "../host/helper-answers.ts";

/** Bytes of a mark on the device, with zeros behind the text: any device writes so many at once. */
export const MARK_LENGTH = 4096;
const KIB = 1024;
const FORM =
  /^rds-csi mkfs 1 (?<body>(?<volume>[\x21-\x7e]{1,128}) (?<epoch>0|[1-9]\d{0,8}) (?<filesystem>[a-z0-9]+) (?<token>[0-9a-f]{32})) (?<sum>[0-9a-f]{32})\n$/;

export function newMark(volume: string, epoch: number, filesystem: Filesystem): MkfsMark {
  return { volume, epoch, filesystem, token: randomBytes(16).toString("hex") };
}

/**
 * Where the two copies of the mark are on a device: in its last MiB, which any look for data reads. No mkfs writes there,
 * but both wipe up to 128 KiB at the end of their range: mkfs.xfs at the end of the device, mkfs.ext4 up to some
 * hundred KiB before it. So at least one copy outlives them.
 * @param size of the device in bytes
 * @returns offsets in bytes, multiples of 64 KiB; none on a device that is too small for any filesystem
 */
export function markOffsets(size: number): readonly number[] {
  const end = Math.floor(size / (64 * KIB)) * 64 * KIB;
  return end < 4096 * KIB ? [] : [end - 960 * KIB, end - 512 * KIB];
}

export function encodeMark({ volume, epoch, filesystem, token }: MkfsMark): Buffer {
  const body = `${volume} ${epoch} ${filesystem} ${token}`;
  const bytes = Buffer.alloc(MARK_LENGTH);
  bytes.write(`rds-csi mkfs 1 ${body} ${digest(`sum ${body}`)}\n`, "latin1");
  return bytes;
}

/** The mark that these bytes are; undefined if they are none, or one that was torn. */
export function decodeMark(bytes: Buffer): MkfsMark | undefined {
  if (bytes.length !== MARK_LENGTH) return undefined;
  const end = bytes.indexOf(0);
  if (end < 0 || bytes.subarray(end).some((byte) => byte !== 0)) return undefined;
  const groups = FORM.exec(bytes.toString("latin1", 0, end))?.groups;
  if (groups === undefined || groups.sum !== digest(`sum ${groups.body}`)) return undefined;
  const filesystem = FILESYSTEMS.find((known) => known === groups.filesystem);
  const { volume = "", epoch = "", token = "" } = groups;
  return filesystem && { volume, epoch: Number(epoch), filesystem, token };
}

/** The UUID that the marked filesystem is made with. */
export function uuidOf({ token }: Pick<MkfsMark, "token">): string {
  return uuidFrom(digest(`uuid ${token}`));
}

function digest(text: string): string {
  return createHash("sha256").update(`rds-csi mkfs ${text}`).digest("hex").slice(0, 32);
}
