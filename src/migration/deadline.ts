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
 * Decides what the passing of time does: the first time a migration is found overdue, that is recorded and reported.
 * Nobody is detached. undefined when there is nothing to do.
 * @param now seconds since the Unix epoch
 * @param by this controller process
 */
export function decideDeadline(
  record: VolumeRecord,
  now: number,
  by: string,
): Extract<Decision, { kind: "accept" }> | undefined {
  const { migration } = record;
  if (migration === undefined || migration.overdueBy !== undefined || !isOverdue(migration, now))
    return undefined;
  return {
    kind: "accept",
    record: { ...record, migration: { ...migration, overdueBy: by } },
    export: "keep",
    events: [],
  };
}
