import type { Counter, Histogram, Registry } from "prom-client";
import { type Clock, systemClock } from "../domain/clock.ts";
import { LastKnown } from "../domain/last-known.ts";
import type { VolumeFindingId } from "../inspect/catalogue.ts";
import { seriesOf } from "../observability/series.ts";

/** How a migration ended: the label `result`. */
export type MigrationResult = "success" | "failed" | "timeout";

/** Why a node was refused a volume. */
export const REFUSAL_CAUSES = [
  "attached-elsewhere",
  "not-proven",
  "guard-unavailable",
  "third-node",
  "overdue",
  "incompatible",
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

/** Findings that reconcile counts. */
export const DRIFT_KINDS = [
  "attachment-without-va",
  "va-without-attachment",
  "attachment-without-pv",
  "not-exported",
  "re-export-interrupted",
  "export-nqn",
  "export-port",
  "allowed-hosts",
  "exported-unattached",
  "record-unusable",
  "not-reconciled",
] as const satisfies readonly VolumeFindingId[];
export type DriftKind = (typeof DRIFT_KINDS)[number];

/** How many drifts of each kind there are. */
export type DriftCounts = Readonly<Record<DriftKind, number>>;

/** After so long without a reconcile of this replica its findings are not shown any more. Milliseconds. */
export const DRIFT_MAX_AGE_MS = 180_000;

/** Metrics of attachments and migrations; docs/metrics.md describes each. */
export interface MigrationMetrics {
  readonly migrations: Counter<"result">;
  readonly duration: Histogram;
  readonly refusals: Counter<"cause">;
  /** As of the last reconcile of this replica. */
  readonly drift: LastKnown<DriftCounts>;
  readonly cleared: Counter;
}

/** Up to the time of very large guests. Seconds. */
const DURATION_BUCKETS = [15, 30, 60, 90, 120, 180, 300, 600, 1800, 3600];

/**
 * Registers the metrics. A scrape sends no command. A gauge with an unknown value has no sample.
 * @param onTwoNodes number of volumes on two nodes, all in a live migration; undefined while unknown
 */
export function createMigrationMetrics(
  registry: Registry,
  onTwoNodes: () => number | undefined,
  clock: Clock = systemClock,
): MigrationMetrics {
  const { counter, counterOf, histogram, known, knownBy } = seriesOf(registry);
  const migrations = counterOf(
    "rds_csi_migration_migrations_total",
    "Live migrations that ended or passed their deadline, by result.",
    "result",
    ["success", "failed", "timeout"] satisfies MigrationResult[],
  );
  known(
    "rds_csi_migration_active_migrations",
    "Volumes that are in a live migration now, by their records on the RDS as last known.",
    onTwoNodes,
  );
  known(
    "rds_csi_attachment_dual_attached_volumes",
    "Volumes that are attached to two nodes now, by their records on the RDS as last known.",
    onTwoNodes,
  );
  const refusals = counterOf(
    "rds_csi_attachment_refusals_total",
    "Attachments that were refused, by cause.",
    "cause",
    REFUSAL_CAUSES,
  );
  const drift = new LastKnown<DriftCounts>(clock, DRIFT_MAX_AGE_MS);
  knownBy(
    "rds_csi_attachment_drift",
    "Attachments on which record, export and cluster disagree, by kind, as of the last reconcile.",
    "kind",
    () => {
      const found = drift.get();
      return found && DRIFT_KINDS.map((kind) => [kind, found[kind]]);
    },
  );
  return {
    migrations,
    duration: histogram(
      "rds_csi_migration_duration_seconds",
      "Time from the second attachment to the end of a live migration in seconds.",
      DURATION_BUCKETS,
    ),
    refusals,
    drift,
    cleared: counter(
      "rds_csi_attachment_stale_cleared_total",
      "Attachments of nodes that no longer exist that were cleared.",
    ),
  };
}
