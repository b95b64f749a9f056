import type { Migration } from "../domain/record/volume-record.ts";

/** Seconds that a migration has taken; never negative, also when clocks differ between controllers. */
export function elapsedSeconds(migration: Migration, now: number): number {
  return Math.max(0, now - migration.since);
}

/** Whether a migration has passed its deadline. It is reported, never ended: only Kubernetes detaches. */
export function isOverdue(migration: Migration, now: number): boolean {
  return elapsedSeconds(migration, now) > migration.timeoutSeconds;
}
