import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { shortSize } from "../domain/size.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import { isSafePath, SIZE_GRANULARITY } from "./layout.ts";

/** A pool that may take volumes. */
export interface Pool {
  readonly slot: string;
  /** Without a leading slash. */
  readonly mountPoint: string;
  readonly fs: string;
  /** Bytes. */
  readonly size: bigint;
  /** Bytes. */
  readonly free: bigint;
  /** Bytes that new volumes may take together, as of the listing alone; a multiple of the granularity. */
  readonly available: bigint;
  /** Sizes of the file disks that `available` has taken into account, by slot. Bytes. */
  readonly counted: ReadonlyMap<string, bigint>;
}

/**
 * Finds a pool among listed disks and computes its available space. Some filesystems allocate files at once, others later, so both
 * the free space and the sum of all file sizes bound it:
 * min(free, size − Σ file sizes) − reserve, never below zero.
 * @param listed every item of `/disk` that is the pool or a file disk
 * @param reserve bytes that stay free
 * @throws poolNotFound (INVALID_ARGUMENT), poolNotMounted (UNAVAILABLE)
 */
export function poolFrom(listed: readonly Disk[], slot: string, reserve: bigint): Pool {
  const disk = listed.find((candidate) => candidate.slot === slot);
  if (disk === undefined || disk.type === "file") throw failure("poolNotFound", { pool: slot });
  const { size, free, mountPoint } = disk;
  if (!disk.mounted || size === undefined || free === undefined || !isSafePath(mountPoint)) {
    throw failure("poolNotMounted", { pool: slot });
  }
  const files = listed.filter((candidate) => candidate.type === "file");
  const allocated = files
    .filter((file) => file.filePath.startsWith(`${mountPoint}/`))
    .reduce((sum, file) => sum + (file.size ?? 0n), 0n);
  const bound = free < size - allocated ? free : size - allocated;
  const available = roundDown(bound - reserve);
  return {
    slot,
    mountPoint,
    fs: disk.fs,
    size,
    free,
    available,
    counted: sized(files),
  };
}

/**
 * The pool that a file is on: the one whose mount point is the longest that its path begins with.
 * @param listed every mounted item of `/disk` and every file disk
 * @param filePath without a leading slash
 * @returns undefined while that pool is not mounted
 */
export function poolHolding(listed: readonly Disk[], filePath: string, reserve: bigint): Pool | undefined {
  const [holder] = listed
    .filter(({ type, mounted, size, free, mountPoint }) => {
      const usable = type !== "file" && mounted && size !== undefined && free !== undefined;
      return usable && isSafePath(mountPoint) && filePath.startsWith(`${mountPoint}/`);
    })
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  return holder === undefined ? undefined : poolFrom(listed, holder.slot, reserve);
}

function sized(files: readonly Disk[]): ReadonlyMap<string, bigint> {
  return new Map(files.flatMap(({ slot, size }) => (size === undefined ? [] : [[slot, size] as const])));
}

function roundDown(bytes: bigint): bigint {
  return bytes > 0n ? (bytes / SIZE_GRANULARITY) * SIZE_GRANULARITY : 0n;
}

/** The driver's own refusal of `wanted` bytes in a pool. */
export function poolFull({ slot }: Pool, wanted: bigint, available: bigint): DriverError {
  return failure("poolFull", {
    pool: slot,
    wanted: shortSize(wanted, "up"),
    available: shortSize(available),
  });
}

/** The refusal of RouterOS. @param detail its own text */
export function poolRefused({ slot, available }: Pool, wanted: bigint, detail: string): DriverError {
  return failure("poolRefused", {
    ...{ pool: slot, wanted: shortSize(wanted, "up"), available: shortSize(available), detail },
  });
}

/** Volumes that are being created or grown, with their future sizes: two calls that read a pool at the same time must not take the same space. */
export class PendingVolumes {
  readonly #volumes = new Map<VolumeId, { readonly pool: string; readonly bytes: bigint }>();

  /**
   * Runs the work that brings a volume to `sizeBytes`, which takes `more` bytes of its pool. The volume is pending meanwhile.
   * @throws poolFull (RESOURCE_EXHAUSTED) before the work
   */
  async hold<T>(
    { id, pool, sizeBytes, more }: { id: VolumeId; pool: Pool; sizeBytes: bigint; more: bigint },
    work: () => Promise<T>,
  ): Promise<T> {
    const available = this.availableIn(pool);
    if (more > available) throw poolFull(pool, more, available);
    this.#volumes.set(id, { pool: pool.slot, bytes: sizeBytes });
    try {
      return await work();
    } finally {
      this.#volumes.delete(id);
    }
  }

  /** A pool's available bytes, less the growth of pending volumes that its listing did not show. */
  availableIn({ slot, available, counted }: Pool): bigint {
    let left = available;
    for (const [id, { pool, bytes }] of this.#volumes) {
      const listed = counted.get(id) ?? 0n;
      if (pool === slot && bytes > listed) left -= bytes - listed;
    }
    return left > 0n ? left : 0n;
  }
}
