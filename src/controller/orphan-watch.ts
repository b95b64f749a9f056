import type { Registry } from "prom-client";
import type { Clock } from "../domain/clock.ts";
import { requireThisCluster } from "../domain/cluster-id.ts";
import { LastKnown } from "../domain/last-known.ts";
import { findOrphans, type OrphanSources } from "../inspect/find-orphans.ts";
import { ORPHAN_KINDS, type Orphan } from "../inspect/orphan.ts";
import type { Logger } from "../observability/log.ts";
import { seriesOf } from "../observability/series.ts";
import type { Rds } from "../rds/rds.ts";
import { lookAgain } from "./look-loop.ts";

/** Between two looks for orphans, milliseconds: they hurt nobody, and a look reads everything. */
export const ORPHANS_INTERVAL_MS = 15 * 60_000;
/** Time without a look after which nothing is known. Milliseconds. */
export const ORPHANS_MAX_AGE_MS = 3 * ORPHANS_INTERVAL_MS;

export interface OrphanWatchOptions
  extends Omit<OrphanSources, "rds" | "names" | "reader" | "forRds" | "forCluster" | "kept"> {
  readonly rds: Pick<Rds, "version" | "inventory" | "installation">;
  /** undefined without an orchestrator: then nothing is an orphan, and nothing is looked for. */
  readonly cluster:
    | (Pick<OrphanSources, "names" | "reader"> & {
        readonly clusterUid: (signal: AbortSignal) => Promise<string>;
      })
    | undefined;
  readonly registry: Registry;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Knows the orphans that `volumes orphans` lists, so that a scrape sends no command. Costs four or five RouterOS commands per ORPHANS_INTERVAL_MS up to
 * about 170 disk items, on the replica that leads.
 */
export class OrphanWatch {
  readonly #options: OrphanWatchOptions;
  readonly #seen: LastKnown<readonly Orphan[]>;

  /** Registers the metrics. */
  constructor(options: OrphanWatchOptions) {
    this.#options = options;
    const { clock, registry } = options;
    const seen = new LastKnown<readonly Orphan[]>(clock, ORPHANS_MAX_AGE_MS);
    this.#seen = seen;
    const { knownBy } = seriesOf(registry);
    const of = (kind: string): readonly Orphan[] => (seen.get() ?? []).filter((each) => each.kind === kind);
    knownBy(
      "rds_csi_orphans",
      "Disks, files, subvolumes and snapshots on the RDS that nothing in the cluster names, by kind, as of the last look for them.",
      "kind",
      () => seen.get() && ORPHAN_KINDS.map((kind) => [kind, of(kind).length] as const),
    );
    knownBy(
      "rds_csi_orphan_oldest_age_seconds",
      "Age of the oldest orphan of each kind whose age is known, in seconds.",
      "kind",
      () =>
        ORPHAN_KINDS.flatMap((kind) => {
          const times = of(kind).flatMap(({ since }) => since ?? []);
          return times.length === 0 ? [] : [[kind, clock.now() / 1_000 - Math.min(...times)] as const];
        }),
    );
  }

  /** Looks again and again until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const options = this.#options;
    const { cluster, clock, logger } = options;
    if (cluster === undefined) return;
    const look = async (limit: AbortSignal) => {
      const { rds, layout } = options;
      // Then the cluster id is known.
      await rds.version(limit);
      const { clusterId } = options;
      await requireThisCluster(clusterId, cluster, limit);
      return findOrphans({ ...cluster, rds, layout, clusterId, clock, forRds: limit, forCluster: limit });
    };
    const loop = { what: "looking for orphans", scope: "orphans", intervalMs: ORPHANS_INTERVAL_MS };
    await lookAgain({ ...loop, seen: this.#seen, look, clock, logger }, signal);
  }
}
