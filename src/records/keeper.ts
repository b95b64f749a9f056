import type { Clock } from "../domain/clock.ts";
import type { ShardStore, StoredShard } from "../kubernetes/record-shards.ts";
import type { Logger } from "../observability/log.ts";
import { unfinished } from "../rds/copy.ts";
import type { ForeignDisk, RdsVolume } from "../rds/volume.ts";
import { type Copies, decodeShard, encodeCopy, nextShard, SHARDS, type Shard, shardOf } from "./copy.ts";

export interface RecordKeeperOptions {
  readonly store: ShardStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Copies are written at most so often, milliseconds. */
export const KEEP_INTERVAL_MS = 60_000;

interface Known {
  readonly stored: StoredShard | undefined;
  readonly copies: Copies;
}

/**
 * Keeps a copy of the last readable record of every volume in the cluster, for the day on which a comment is damaged on the
 * RDS. Nothing is ever decided by these copies; only `rds-csi volumes record` reads them. For the one process that holds the
 * Lease: writes name the version that they replace, so another one only makes them fail.
 */
export class RecordKeeper {
  readonly #options: RecordKeeperOptions;
  /** As last read or written by this process. */
  readonly #known = new Map<Shard, Known>();
  #last: number | undefined;
  #left = 0;

  constructor(options: RecordKeeperOptions) {
    this.#options = options;
  }

  /**
   * Writes what has changed, at most once a minute.
   * @param found everything with a slot of ours, as just listed
   * @throws kubernetes* errors; what was not written is tried again the next time
   */
  async keep(
    found: { readonly volumes: readonly RdsVolume[]; readonly foreign: readonly ForeignDisk[] },
    signal: AbortSignal,
  ): Promise<void> {
    const { clock, logger } = this.#options;
    const last = this.#last;
    if (last !== undefined && clock.monotonic() - last < KEEP_INTERVAL_MS) return;
    this.#last = clock.monotonic();
    // The record of a volume that is being copied or converted must never be put back on the finished volume.
    const finished = found.volumes.filter((volume) => unfinished(volume) === undefined);
    const present = finished.map(({ id, disk, record }) => ({
      id,
      comment: disk.comment,
      epoch: record.epoch,
      attached: record.attachments.length > 0,
    }));
    const there = new Set<string>([...found.volumes, ...found.foreign].map(({ id }) => id));
    let left = 0;
    for (const shard of SHARDS) {
      const known = await this.#shard(shard, signal);
      const mine = present.filter(({ id }) => shardOf(id) === shard);
      const next = nextShard(known.copies, mine, (handle) => there.has(handle), clock.now());
      left += next.left;
      if (!isSame(known.copies, next.copies)) await this.#write(shard, known, next.copies, signal);
    }
    if (left > 0 && left !== this.#left)
      logger.warn("some records have no copy, as there is no room", { left });
    this.#left = left;
  }

  async #shard(shard: Shard, signal: AbortSignal): Promise<Known> {
    const known = this.#known.get(shard);
    if (known !== undefined) return known;
    const stored = await this.#options.store.read(shard, signal);
    const read = { stored, copies: decodeShard(stored?.data ?? {}) };
    this.#known.set(shard, read);
    return read;
  }

  async #write(shard: Shard, { stored }: Known, copies: Copies, signal: AbortSignal): Promise<void> {
    // Whatever comes of it, only a new look says what is stored.
    this.#known.delete(shard);
    const data = Object.fromEntries([...copies].map(([handle, copy]) => [handle, encodeCopy(copy)]));
    const written = await this.#options.store.write(shard, data, stored, signal);
    this.#known.set(shard, { stored: written, copies });
  }
}

function isSame(a: Copies, b: Copies): boolean {
  return (
    a.size === b.size &&
    [...a].every(([handle, copy]) => {
      const other = b.get(handle);
      return other !== undefined && encodeCopy(other) === encodeCopy(copy);
    })
  );
}
