import type { Migration, VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision } from "./decision.ts";

/** Seconds that a migration has taken; never negative, also when clocks differ between controllers. */
export function elapsedSeconds(migration: Migration, now: number): number {
  return Math.max(0, now - migration.since);
}

/** Whether a migration has passed its deadline. It is reported, never ended: only Kubernetes detaches. */
export function isOverdue(migration: Migration, now: number): boolean {
  return migration.timeoutSeconds > 0 && elapsedSeconds(migration, now) > migration.timeoutSeconds;
}

/**
 * How far a start may lie in the future, in seconds: as far as the clocks of two replicas may differ. More means that a
 * clock has jumped back since, and the window would not end for as long as the jump.
 */
const CLOCK_SKEW_SECONDS = 60;

/**
 * Whether KubeVirt's limit must be found out before `decideDeadline`: with `auto`, before a migration is called overdue, and as long as
 * it has no limit. KubeVirt says what holds only after the second node was attached.
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
 * Decides what the passing of time does: the first time a migration is found overdue, that is recorded and reported. A start
 * far in the future is set to now, so that the window ends whatever the clock has done. Nobody is detached. undefined when
 * there is nothing to do.
 * @param now seconds since the Unix epoch
 * @param by this controller process
 * @param limit seconds that are allowed as found out now, 0 for no limit; undefined: as the record says
 */
export function decideDeadline(
  record: VolumeRecord,
  now: number,
  by: string,
  limit?: number,
): Extract<Decision, { kind: "accept" }> | undefined {
  const { migration } = record;
  if (migration === undefined || migration.overdueBy !== undefined) return undefined;
  // Without a writer nobody reports the start once more.
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
