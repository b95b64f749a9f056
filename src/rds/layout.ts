import type { VolumeId } from "../domain/volume-id.ts";

/** Place and names of the volumes of a pool. All of it is derived; nothing is stored. */
export interface Layout {
  /** Slot of the pool's disk, RAID or Btrfs item. */
  readonly pool: string;
  /** Folder below the pool's mount point; no leading or trailing slash. */
  readonly directory: string;
}

/** A path component that RouterOS, Linux and our quoting all take as it is. */
const COMPONENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

/** Whether `path` is one or more safe components, without `.` and `..`. */
export function isSafePath(path: string): boolean {
  return path.split("/").every((component) => COMPONENT.test(component) && component !== "..");
}

/** Folder of a pool's volumes, without a leading slash: `<mount point>/<directory>`. */
export function folderOf(mountPoint: string, layout: Layout): string {
  return `${mountPoint}/${layout.directory}`;
}

/** Backing file of a volume, without a leading slash: `<mount point>/<directory>/<slot>.img`. */
export function filePathOf(mountPoint: string, layout: Layout, volume: VolumeId): string {
  return `${folderOf(mountPoint, layout)}/${volume}.img`;
}

/**
 * Subsystem NQN of an attachment: `<prefix>:<slot>.<epoch>-<nonce>`. Without a nonce it is that of version 0.1, and epoch 0
 * has no suffix. With the longest allowed prefix it stays below the 223 bytes of the NVMe base specification, 4.7.
 * @param nonce eight hex digits
 */
export function nqnOf(prefix: string, volume: VolumeId, epoch: number, nonce?: string): string {
  const name = epoch === 0 ? `${prefix}:${volume}` : `${prefix}:${volume}.${epoch}`;
  return nonce === undefined ? name : `${name}-${nonce}`;
}

/** Sizes are multiples of 1 MiB: every block size of a backing filesystem divides it. Bytes. */
export const SIZE_GRANULARITY = 1024n * 1024n;

/** `bytes` rounded up to the granularity. */
export function roundUpSize(bytes: bigint): bigint {
  return ((bytes + SIZE_GRANULARITY - 1n) / SIZE_GRANULARITY) * SIZE_GRANULARITY;
}
