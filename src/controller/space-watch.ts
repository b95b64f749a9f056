import type { Registry } from "prom-client";
import type { Clock } from "../domain/clock.ts";
import { LastKnown } from "../domain/last-known.ts";
import type { Logger } from "../observability/log.ts";
import { inBackground } from "../observability/request-scope.ts";
import { seriesOf } from "../observability/series.ts";
import type { PoolReport, PoolReporter } from "../rds/pool-report.ts";
import type { SnapshotStore } from "../rds/snapshots.ts";
import { COUNTS_MAX_AGE_MS, REFRESH_MS } from "./volume-counts.ts";

/** Pause after a refresh that failed. Milliseconds. */
const RETRY_MS = 15_000;
/** Time for one refresh. Milliseconds. */
const LIMIT_MS = 15_000;

/** The snapshots of this installation on one pool. */
export interface SnapshotsOnPool {
  /** Slot of the pool; its label while no mounted disk has that. */
  readonly pool: string;
  readonly count: number;
  /** Sum of their sizes: bytes that they may hold at most. */
  readonly bytesAtMost: bigint;
}

/** What is known of the space of the RDS. */
export interface Space {
  /** When it was read, milliseconds since the Unix epoch. */
  readonly at: number;
  readonly pools: readonly PoolReport[];
  /** Of each pool that can hold snapshots, or does. */
  readonly snapshots: readonly SnapshotsOnPool[];
}

export interface SpaceWatchOptions {
  readonly pools: Pick<PoolReporter, "report">;
  readonly snapshots: Pick<SnapshotStore, "list">;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Knows the space of the pools and the snapshots on them, so that a scrape sends no command. Costs two RouterOS commands per REFRESH_MS on
 * each replica, and more when there are many snapshots.
 */
export class SpaceWatch {
  readonly #options: SpaceWatchOptions;
  readonly #space: LastKnown<Space>;

  constructor(options: SpaceWatchOptions) {
    this.#options = options;
    this.#space = new LastKnown(options.clock, COUNTS_MAX_AGE_MS);
  }

  /** undefined before the first refresh, and when the last one is too old. */
  get(): Space | undefined {
    return this.#space.get();
  }

  /** Reads pools and snapshots now. Never throws. @returns whether both were read */
  async refresh(signal: AbortSignal): Promise<boolean> {
    const { pools, snapshots, clock, logger } = this.#options;
    const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
    try {
      // One after the other, as nobody waits for them.
      const [reports, all] = await inBackground(
        "space",
        async () => [await pools.report(limit), await snapshots.list({}, limit)] as const,
      );
      this.#space.set({ at: clock.now(), pools: reports, snapshots: snapshotsByPool(reports, all) });
      return true;
    } catch (error) {
      if (!signal.aborted) logger.debug("the space of the RDS could not be read", { error });
      return false;
    }
  }

  /** Refreshes every REFRESH_MS until `signal` aborts. The first time is then, too: a start has more urgent commands. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    let pause = REFRESH_MS;
    for (;;) {
      await this.#options.clock.sleep(pause, signal).catch(() => {});
      if (signal.aborted) return;
      pause = (await this.refresh(signal)) ? REFRESH_MS : RETRY_MS;
    }
  }
}

function snapshotsByPool(
  pools: readonly PoolReport[],
  snapshots: Awaited<ReturnType<SnapshotStore["list"]>>,
): SnapshotsOnPool[] {
  const slots = new Map(pools.map(({ label, slot }) => [label, slot]));
  const found = new Map<string, SnapshotsOnPool>();
  for (const { fs, slot } of pools)
    if (fs === "btrfs") found.set(slot, { pool: slot, count: 0, bytesAtMost: 0n });
  for (const { record, subvolume } of snapshots) {
    const pool = slots.get(subvolume.label) ?? subvolume.label;
    const { count, bytesAtMost } = found.get(pool) ?? { count: 0, bytesAtMost: 0n };
    found.set(pool, { pool, count: count + 1, bytesAtMost: bytesAtMost + record.sizeBytes });
  }
  return [...found.values()];
}

/**
 * Registers the metrics of space. A scrape sends no command; what is not known has no sample.
 * @param read what is known now
 */
export function createSpaceMetrics(registry: Registry, read: () => Space | undefined): void {
  const { known, knownBy } = seriesOf(registry);
  const gauge = (name: string, help: string, samples: (space: Space) => Samples): void =>
    void knownBy(name, help, "pool", () => {
      const space = read();
      return (
        space &&
        samples(space).flatMap(([pool, value]) =>
          value === undefined ? [] : [[pool, Number(value)] as const],
        )
      );
    });
  const ofPools = (value: (pool: PoolReport) => bigint | undefined) => (space: Space) =>
    space.pools.map((pool) => [pool.slot, value(pool)] as const);
  const ofSnapshots = (value: (on: SnapshotsOnPool) => bigint | number) => (space: Space) =>
    space.snapshots.map((on) => [on.pool, value(on)] as const);
  known(
    "rds_csi_pool_read_timestamp_seconds",
    "When pools and snapshots were last read, in seconds since the Unix epoch.",
    () => {
      const space = read();
      return space && space.at / 1_000;
    },
  );
  gauge(
    "rds_csi_pool_size_bytes",
    "Size of the filesystem of a mounted pool.",
    ofPools(({ sizeBytes }) => sizeBytes),
  );
  gauge(
    "rds_csi_pool_free_bytes",
    "Free bytes of a mounted pool.",
    ofPools(({ freeBytes }) => freeBytes),
  );
  gauge(
    "rds_csi_pool_promised_bytes",
    "Sizes of the file disks on a pool together.",
    ofPools(({ promisedBytes }) => promisedBytes),
  );
  gauge(
    "rds_csi_snapshots",
    "Snapshots of this installation on a pool.",
    ofSnapshots(({ count }) => count),
  );
  gauge(
    "rds_csi_snapshot_bytes_max",
    "Bytes that the snapshots of this installation on a pool may hold at most.",
    ofSnapshots(({ bytesAtMost }) => bytesAtMost),
  );
}

type Samples = readonly (readonly [pool: string, value: bigint | number | undefined])[];
