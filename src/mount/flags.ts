import type { Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";

/** Whoever may write a StorageClass or PV writes mount options, so only these pass. */
const COMMON = [
  "defaults",
  "rw",
  "ro",
  "nosuid",
  "nodev",
  "noexec",
  "noatime",
  "nodiratime",
  "relatime",
  "strictatime",
  "lazytime",
  "nolazytime",
  "sync",
  "dirsync",
  "discard",
  "nodiscard",
];
const OF_FILESYSTEM: Readonly<Record<Filesystem, readonly string[]>> = {
  ext4: ["barrier", "data=ordered", "data=journal", "errors=remount-ro", "errors=continue", "noload"],
  xfs: ["nouuid", "inode64", "largeio", "norecovery", "noquota", "prjquota", "uquota", "gquota"],
};
const NUMERIC: Readonly<Record<Filesystem, RegExp>> = {
  ext4: /^(commit|stripe|inode_readahead_blks)=\d{1,6}$/,
  xfs: /^(logbufs=[2-8]|(logbsize|allocsize)=\d{1,6}[km]?|(sunit|swidth)=\d{1,6})$/,
};

/**
 * Checks mount options against the allow-list.
 * @throws mountFlagRefused (INVALID_ARGUMENT)
 */
export function checkMountFlags(filesystem: Filesystem, flags: readonly string[]): readonly string[] {
  const allowed = [...COMMON, ...OF_FILESYSTEM[filesystem]];
  for (const flag of flags) {
    if (!allowed.includes(flag) && !NUMERIC[filesystem].test(flag)) {
      throw failure("mountFlagRefused", { flag, allowed });
    }
  }
  return [...new Set(flags)];
}
