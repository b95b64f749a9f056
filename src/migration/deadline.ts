import type { Migration, VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision } from "./decision.ts";

/** Seconds that a migration has taken; never negative, also when clocks differ between controllers. */
export function elapsedSeconds(migration: Migration, now: number): number {
  return Math.max(0, now - migration.since);
}

/** Whether a migration has passed its deadline. The driver reports that. Only Kubernetes ends a migration. */
export function isOverdue(migration: Migration, now: number): boolean {
  return migration.timeoutSeconds > 0 && elapsedSeconds(migration, now) > migration.timeoutSeconds;
}

/**
 * How far a start may lie in the future, in seconds: the most by which clocks of two replicas differ. A later start means that a clock
 * has jumped back since; the window would stay open for as long as the jump.
 */
const CLOCK_SKEW_SECONDS = 60;

/**
 * Whether KubeVirt's limit must be asked for before `decideDeadline`: with `auto`, before a migration is called overdue, and while it has
 * no limit. KubeVirt publishes the limit only after the second node was attached.
 * @param now seconds since the Unix epoch
 */
export function asksForLimit({ migration, settings }: VolumeRecord, now: number): boolean {
  if (migration === undefined || migration.overdueBy !== undefined) return false;
  return (
    settings.migrationTimeoutSeconds === "auto" &&
    (migration.timeoutSeconds === 0 || isOverdue(migration, now))
  );
}

/**
 * Decides whether a migration is overdue; the first time, that is recorded and reported. A start far in the future is set to now, so
 * that the window ends in spite of a clock that jumped. No node is detached. undefined when the record stays as it is.
 * @param now seconds since the Unix epoch
 * @param by this controller process
 * @param limit seconds that KubeVirt allows now, 0 for no limit; undefined: the limit of the record
 */
export function decideDeadline(
  record: VolumeRecord,
  now: number,
  by: string,
  limit?: number,
): Extract<Decision, { kind: "accept" }> | undefined {
  const { migration } = record;
  if (migration === undefined || migration.overdueBy !== undefined) return undefined;
  // Without a writer the start is not reported again.
  if (migration.since > now + CLOCK_SKEW_SECONDS)
    return withMigration(record, { ...migration, since: now, by: "" });
  const isNew = limit !== undefined && limit !== migration.timeoutSeconds;
  const current = isNew ? { ...migration, timeoutSeconds: limit } : migration;
  if (isOverdue(current, now)) return withMigration(record, { ...current, overdueBy: by });
  return isNew ? withMigration(record, current) : undefined;
}

function withMigration(record: VolumeRecord, migration: Migration): Extract<Decision, { kind: "accept" }> {
  return { kind: "accept", record: { ...record, migration }, export: "keep", events: [] };
}
