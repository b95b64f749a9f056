import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { shortSize } from "../domain/size.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import { isSafePath, SIZE_GRANULARITY } from "./layout.ts";
import type { Classified } from "./volume.ts";

/** A pool, and the disk that has the slot of a volume which is to be created in it. */
export interface PoolView {
  readonly pool: Pool;
  /** Bytes that a new volume may take now. */
  readonly available: bigint;
  readonly existing: Classified | undefined;
}

/** What the file disks below a mount point take. */
export interface FileSpace {
  /** Sum of their sizes. Bytes. */
  readonly allocated: bigint;
  /** Sizes in that sum by slot; of `asked` only, if that is not undefined. Bytes. */
  readonly counted: ReadonlyMap<string, bigint>;
  /** The slots whose sizes were asked for; undefined: every slot. */
  readonly asked: ReadonlySet<string> | undefined;
  /** `PendingLook.endings`, as of the moment at which the RDS was asked. */
  readonly endings?: number;
}

/** The pending volumes at one moment. */
export interface PendingLook {
  readonly ids: readonly VolumeId[];
  /** How many volumes had ended to be pending. */
  readonly endings: number;
}

/** A pool that may take volumes. */
export interface Pool {
  readonly slot: string;
  /** Without a leading slash. */
  readonly mountPoint: string;
  readonly fs: string;
  /** Label of its filesystem. */
  readonly fsLabel: string;
  /** Bytes. */
  readonly size: bigint;
  /** Bytes. */
  readonly free: bigint;
  /** Bytes that stay free. */
  readonly reserve: bigint;
  /** Bytes that new volumes may take together, as of the listing alone; a multiple of the granularity. */
  readonly available: bigint;
  /** The file disks that `available` has taken into account. */
  readonly files: FileSpace;
}

/** A disk item that is mounted and shows its space. */
export type MountedDisk = Disk & { readonly size: bigint; readonly free: bigint };

/** @throws poolNotFound (INVALID_ARGUMENT), poolNotMounted (UNAVAILABLE) */
export function requirePool(listed: readonly Disk[], slot: string): MountedDisk {
  const disk = listed.find((candidate) => candidate.slot === slot);
  if (disk === undefined || disk.type === "file") throw failure("poolNotFound", { pool: slot });
  if (!isMountedPool(disk)) throw failure("poolNotMounted", { pool: slot });
  return disk;
}

/** Whether a disk item is a pool that is mounted and shows its space. */
export function isMountedPool(disk: Disk): disk is MountedDisk {
  const { type, size, free, mounted, mountPoint } = disk;
  return type !== "file" && mounted && size !== undefined && free !== undefined && isSafePath(mountPoint);
}

/**
 * Computes a pool's available space. Some filesystems allocate files at once, others later, so both the free space and the sum of all
 * file sizes bound it: min(free, size − Σ file sizes) − reserve, never below zero.
 * @param reserve bytes that stay free
 */
export function poolWith(disk: MountedDisk, files: FileSpace, reserve: bigint): Pool {
  const { slot, mountPoint, fs, fsLabel, size, free } = disk;
  const bound = free < size - files.allocated ? free : size - files.allocated;
  const available = roundDown(bound - reserve);
  return { slot, mountPoint, fs, fsLabel, size, free, reserve, available, files };
}

/**
 * The item of the pool that a file is on: the one whose mount point is the longest that its path begins with.
 * @param listed every mounted item of `/disk`
 * @param filePath without a leading slash
 * @returns undefined while that pool is not mounted
 */
export function poolHolding(listed: readonly Disk[], filePath: string): MountedDisk | undefined {
  const [holder] = listed
    .filter(isMountedPool)
    .filter(({ mountPoint }) => filePath.startsWith(`${mountPoint}/`))
    .toSorted((a, b) => b.mountPoint.length - a.mountPoint.length);
  return holder;
}

/** Adds up the sizes of file disks that are listed bit by bit, and keeps none of them. */
export class FileTally {
  readonly #asked: ReadonlySet<string>;
  readonly #endings: number;
  readonly #totals = new Map<string, bigint>();
  readonly #counted = new Map<string, bigint>();

  /** @param look slots whose own sizes are of interest, as of the beginning of the list */
  constructor({ ids, endings }: PendingLook) {
    this.#asked = new Set(ids);
    this.#endings = endings;
  }

  /** Takes the file disks among `disks`. @param mountPoints of all pools that are of interest; the same each time */
  take(disks: readonly Disk[], mountPoints: Iterable<string>): void {
    for (const { type, slot, filePath, size = 0n } of disks) {
      if (type !== "file") continue;
      for (const mountPoint of mountPoints) {
        if (!filePath.startsWith(`${mountPoint}/`)) continue;
        this.#totals.set(mountPoint, (this.#totals.get(mountPoint) ?? 0n) + size);
      }
      if (this.#asked.has(slot)) this.#counted.set(slot, size);
    }
  }

  /** The file disks below a mount point. */
  below(mountPoint: string): FileSpace {
    return {
      allocated: this.#totals.get(mountPoint) ?? 0n,
      counted: this.#counted,
      asked: this.#asked,
      endings: this.#endings,
    };
  }
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

/** The refusal of RouterOS. @param detail its own text @param available bytes, as counted before; undefined: not known */
export function poolRefused(
  { slot, available }: { readonly slot: string; readonly available: bigint | undefined },
  wanted: bigint,
  detail: string,
): DriverError {
  return failure("poolRefused", {
    ...{ pool: slot, wanted: shortSize(wanted, "up"), detail },
    available: available === undefined ? undefined : shortSize(available),
  });
}

interface Pending {
  readonly id: VolumeId;
  readonly pool: string;
  readonly bytes: bigint;
  readonly more: bigint;
}

/** Volumes that have ended and are remembered: more than end while one call looks at its pool. */
const MOST_ENDED = 1_024;

/**
 * Volumes that are being created or grown, with their future sizes: two calls that read a pool at the same time must not take the same
 * space. A volume that was finished after a listing began counts for that listing too, as it may lack it.
 */
export class PendingVolumes {
  readonly #volumes = new Map<VolumeId, Pending>();
  /** The latest ones that are no longer pending, in the order of their ends. */
  readonly #ended: Pending[] = [];
  #endings = 0;

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
    const pending = { id, pool: pool.slot, bytes: sizeBytes, more };
    this.#volumes.set(id, pending);
    try {
      return await work();
    } finally {
      this.#volumes.delete(id);
      this.#endings += 1;
      this.#ended.push(pending);
      if (this.#ended.length > MOST_ENDED) this.#ended.shift();
    }
  }

  /** The pending volumes. Their sizes are to be asked for with each pool. */
  look(): PendingLook {
    return { ids: [...this.#volumes.keys()], endings: this.#endings };
  }

  /** The volumes of a pool that its listing may lack. */
  #of({ slot, files: { endings } }: Pool): readonly Pending[] {
    const since = this.#endings - (endings ?? this.#endings);
    const ended = since === 0 ? [] : this.#ended.slice(-since).filter(({ id }) => !this.#volumes.has(id));
    return [...this.#volumes.values(), ...ended].filter(({ pool }) => pool === slot);
  }

  /**
   * A pool's available bytes, less the growth of pending volumes that its listing did not show. A volume whose size was not asked for counts
   * with all its growth, so that the result may be too small.
   */
  availableIn(pool: Pool): bigint {
    const { counted, asked } = pool.files;
    let left = pool.available;
    for (const { id, bytes, more } of this.#of(pool)) {
      const missing = asked?.has(id) === false ? more : bytes - (counted.get(id) ?? 0n);
      if (missing > 0n) left -= missing;
    }
    return left > 0n ? left : 0n;
  }

  /** Whether `availableIn` may be too small, and a newer listing may show more. */
  isUnsureIn(pool: Pool): boolean {
    const { asked } = pool.files;
    return this.#of(pool).some(({ id }) => asked?.has(id) === false || !this.#volumes.has(id));
  }
}
