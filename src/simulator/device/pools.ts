export type PoolFilesystem = "btrfs" | "xfs" | "ext4";

/** How a pool is asked for. */
export interface PoolOptions {
  readonly slot: string;
  readonly fs: PoolFilesystem;
  /** Bytes of the whole file system. */
  readonly size: bigint;
  readonly mounted?: boolean;
  /** Default: `<slot>-fs`. */
  readonly label?: string;
}

/** A mounted (or not) file system of the device; its mount point is its slot. */
export interface Pool {
  readonly id: number;
  readonly slot: string;
  readonly fs: PoolFilesystem;
  readonly size: bigint;
  readonly label: string;
  readonly uuid: string;
  mounted: boolean;
  /** `clean` when healthy; facts section 3.1 for other texts. */
  state: string;
  comment: string | undefined;
}

/** Parts per ten thousand that an empty file system keeps for itself (XFS: facts section 3.9). */
const OVERHEAD: Readonly<Record<PoolFilesystem, bigint>> = { btrfs: 1n, xfs: 71n, ext4: 160n };

/** Bytes of the pool that files can take in all. */
export function usableBytes(pool: Pool): bigint {
  return pool.size - (pool.size * OVERHEAD[pool.fs]) / 10_000n;
}

export const DEFAULT_POOL: PoolOptions = { slot: "storage-pool", fs: "btrfs", size: 1n << 40n };
