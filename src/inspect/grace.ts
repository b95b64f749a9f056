/**
 * How long one side may lack something that follows from the other, in seconds: the sides are not read in the same instant,
 * and reconcile looks once a minute.
 */
export const GRACE_SECONDS = 60;

/**
 * Whether something happened just now. These findings wait until it did not:
 * - `re-export-interrupted`: an expansion has marked the record and switches the export off and on
 * - `attachment-without-va`, `attachment-without-pv`, `attachment-without-pod`: the node was attached
 * - `pv-missing`: the volume was made
 * - `pv-deleting`: the deletion was asked for
 * - `migration-ended`: the migration began, or KubeVirt ended it
 * A time in the future, by a clock that jumped back, is not just now for as long as the jump.
 * @param atSeconds seconds since the Unix epoch
 * @param nowMs milliseconds since the Unix epoch
 */
export function isRecent(atSeconds: number, nowMs: number): boolean {
  return Math.abs(nowMs / 1_000 - atSeconds) < GRACE_SECONDS;
}
