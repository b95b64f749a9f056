import type { Mount } from "./mountinfo.ts";

/**
 * Whether writes through a mount arrive:
 * - `writable`;
 * - `read-only`: the mount itself refuses them, as was asked for; another mount of the filesystem may be writable;
 * - `failed`: the filesystem refuses them although the mount was made for writing: it met an error and protects itself. Every
 *   mount of it is concerned, and only a new mount ends this.
 */
export type Writability = "writable" | "read-only" | "failed";

/**
 * Options of a filesystem that has stopped all writes. Linux from 6.12 leaves `rw` beside them:
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
