import type { Filesystem } from "../domain/access-mode.ts";

/**
 * The mount options of a filesystem with those added that overrule its superblock, which whoever wrote the volume decides:
 * - `errors=remount-ro`, unless the caller says what an error leads to: a superblock may ask for a panic of the node. Going on
 *   (`errors=continue`, what mkfs.ext4 writes) spreads the damage; a filesystem that has stopped is mounted anew by the next
 *   stage, after a check;
 * - `barrier=1`: without barriers, data that was synced may be lost.
 * XFS keeps no mount options.
 * Source: ext4(5), "errors" and "barrier"; tune2fs(8), -e and -o nobarrier.
 */
export function withSafeOptions(filesystem: Filesystem, flags: readonly string[]): readonly string[] {
  if (filesystem !== "ext4") return flags;
  const has = (name: string) => flags.some((flag) => flag === name || flag.startsWith(`${name}=`));
  return [
    ...flags,
    ...(has("errors") ? [] : ["errors=remount-ro"]),
    ...(has("barrier") ? [] : ["barrier=1"]),
  ];
}
