import type { VolumeId } from "../domain/volume-id.ts";

/** Place and names of the volumes of a pool. All of it is derived; nothing is stored. */
export interface Layout {
  /** Slot of the pool's disk, RAID or Btrfs item. */
  readonly pool: string;
  /** Folder below the pool's mount point; no leading or trailing slash. */
  readonly directory: string;
}

/**
 * How a volume's file lies in the folder of the volumes: `plain` is `<slot>.img`; `subvolume` is `<slot>/disk.img`, where `<slot>` is a Btrfs
 * subvolume, so that it can be snapshotted.
 */
export const FILE_LAYOUTS = ["plain", "subvolume"] as const;
export type FileLayout = (typeof FILE_LAYOUTS)[number];

/** Name of the file in a volume's subvolume. */
const FILE_NAME = "disk.img";

/** A path component that RouterOS, Linux and our quoting all take as it is. */
const COMPONENT = /^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$/;

/** Whether `path` is one or more safe components, without `.` and `..`. */
export function isSafePath(path: string): boolean {
  return path.split("/").every((component) => COMPONENT.test(component) && component !== "..");
}

/** Folder of a pool's volumes, without a leading slash: `<mount point>/<directory>`. */
export function folderOf(mountPoint: string, { directory }: Pick<Layout, "directory">): string {
  return `${mountPoint}/${directory}`;
}

/** Backing file of a volume, without a leading slash: `<mount point>/<directory>/` and the part that `FileLayout` names. */
export function filePathOf(
  mountPoint: string,
  layout: Pick<Layout, "directory">,
  volume: VolumeId,
  form: FileLayout,
): string {
  return `${folderOf(mountPoint, layout)}/${fileTail(volume, form)}`;
}

function fileTail(volume: VolumeId, form: FileLayout): string {
  return form === "plain" ? `${volume}.img` : `${volume}/${FILE_NAME}`;
}

/** The layout whose file of this volume a path names; undefined: none, the file is not named after the volume. */
export function fileLayoutOf(path: string, volume: VolumeId): FileLayout | undefined {
  return FILE_LAYOUTS.find((form) => path.endsWith(`/${fileTail(volume, form)}`));
}

/** The mount point that a file's path names, if it is in the folder of the volumes. */
export function mountPointIn(
  path: string,
  { directory }: Pick<Layout, "directory">,
  volume: VolumeId,
): string | undefined {
  const tails = FILE_LAYOUTS.map((form) => `/${directory}/${fileTail(volume, form)}`);
  const tail = tails.find((each) => path.endsWith(each));
  return tail && path.slice(0, -tail.length);
}

/** The path without its last component. */
export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
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

/** Whether an NQN is the one of a volume without an epoch, under any prefix: that of the earlier driver, or of `--fencing off`. */
export function hasPlainName(nqn: string, volume: VolumeId): boolean {
  return nqn.slice(nqn.lastIndexOf(":") + 1) === volume;
}

/** Sizes are multiples of 1 MiB: every block size of a backing filesystem divides it. Bytes. */
export const SIZE_GRANULARITY = 1024n * 1024n;

/** `bytes` rounded up to the granularity. */
export function roundUpSize(bytes: bigint): bigint {
  return ((bytes + SIZE_GRANULARITY - 1n) / SIZE_GRANULARITY) * SIZE_GRANULARITY;
}
