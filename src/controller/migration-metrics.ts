import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** How a migration ended, as the label `result` says it. */
export type MigrationResult = "success" | "failed" | "timeout";

/** Why a node was not given a volume. */
export const REFUSAL_CAUSES = [
  "attached-elsewhere",
  "not-proven",
  "guard-unavailable",
  "third-node",
  "overdue",
  "incompatible",
] as const;
export type RefusalCause = (typeof REFUSAL_CAUSES)[number];

/** What the record and the cluster disagree on. */
export const DRIFT_KINDS = [
  "attachment-without-va",
  "va-without-attachment",
  "not-exported",
  "exported-unattached",
] as const;
export type DriftKind = (typeof DRIFT_KINDS)[number];

/** Counts from the records of this moment. */
export interface RecordCounts {
  readonly migrating: number;
  readonly dualAttached: number;
}

/** Metrics of attachments and migrations; docs/metrics.md describes each. */
export interface MigrationMetrics {
  readonly migrations: Counter<"result">;
  readonly duration: Histogram;
  readonly refusals: Counter<"cause">;
  readonly drift: Gauge<"kind">;
  readonly cleared: Counter;
}

/** Whole minutes up to what very large guests need. Seconds. */
const DURATION_BUCKETS = [15, 30, 60, 90, 120, 180, 300, 600, 1800, 3600];

/**
 * Registers them.
 * @param counts asked at every scrape, so the gauges are those of the records also right after a restart; undefined when
 *   the records cannot be read: the gauges then keep their last value
 */
export function createMigrationMetrics(
  registry: Registry,
  counts: () => Promise<RecordCounts | undefined>,
): MigrationMetrics {
  const registers = [registry];
  const results = new Counter({
    name: "rds_csi_migration_migrations_total",
    help: "Live migrations that ended or passed their deadline, by result.",
    labelNames: ["result"],
    registers,
  });
  // All series exist from the start, so that increase() sees the first one.
  for (const result of ["success", "failed", "timeout"] satisfies MigrationResult[])
    results.inc({ result }, 0);
  new Gauge({
    name: "rds_csi_migration_active_migrations",
    help: "Volumes that are in a live migration now, by their records on the RDS.",
    registers,
    async collect() {
      const now = await counts();
      if (now !== undefined) this.set(now.migrating);
    },
  });
  new Gauge({
    name: "rds_csi_attachment_dual_attached_volumes",
    help: "Volumes that are attached to two nodes now, by their records on the RDS.",
    registers,
    async collect() {
      const now = await counts();
      if (now !== undefined) this.set(now.dualAttached);
    },
  });
  const refusals = new Counter({
    name: "rds_csi_attachment_refusals_total",
    help: "Attachments that were refused, by cause.",
    labelNames: ["cause"],
    registers,
  });
  for (const cause of REFUSAL_CAUSES) refusals.inc({ cause }, 0);
  const drift = new Gauge({
    name: "rds_csi_attachment_drift",
    help: "Attachments on which record, export and cluster disagree, by kind, as of the last reconcile.",
    labelNames: ["kind"],
    registers,
  });
  for (const kind of DRIFT_KINDS) drift.set({ kind }, 0);
  return {
    migrations: results,
    duration: new Histogram({
      name: "rds_csi_migration_duration_seconds",
      help: "Time from the second attachment to the end of a live migration in seconds.",
      buckets: DURATION_BUCKETS,
      registers,
    }),
    refusals,
    drift,
    cleared: new Counter({
      name: "rds_csi_attachment_stale_cleared_total",
      help: "Attachments of nodes that no longer exist that were cleared.",
      registers,
    }),
  };
}
