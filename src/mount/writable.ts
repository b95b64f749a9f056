import type { Mount } from "./mountinfo.ts";

/**
 * Whether what is written through a mount arrives:
 * - `writable`;
 * - `read-only`: the mount itself refuses, as somebody asked for it; another mount of the filesystem may be writable;
 * - `failed`: the filesystem refuses, although the mount was made for writing: it met an error and protects itself. Every
 *   mount of it is concerned, and only a new mount ends it.
 */
export type Writability = "writable" | "read-only" | "failed";

/**
 * Words among a filesystem's options by which a kernel says that it writes no more. Linux from 6.12 leaves `rw` there:
 * fs/ext4/super.c, _ext4_show_options.
 */
const STOPPED = ["emergency_ro", "shutdown"];

/**
 * The one answer to "is this writable". A mount that was asked to be read-only has `ro` among its own options; kernels
 * before 6.12 turn a filesystem that met an error to `ro` as a whole, and leave the options of its mounts as they were.
 * Source: proc(5), /proc/pid/mountinfo; ext4(5), `errors=remount-ro`.
 */
export function writabilityOf({
  options,
  superOptions,
}: Pick<Mount, "options" | "superOptions">): Writability {
  if (STOPPED.some((word) => superOptions.includes(word))) return "failed";
  if (options.includes("ro")) return "read-only";
  return superOptions.includes("ro") ? "failed" : "writable";
}
