import type { RdsVolume } from "../rds/volume.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";

/**
 * How long after it was attached a node may lack what follows from it: the two sides are not read in the same instant.
 * Seconds.
 */
export const GRACE_SECONDS = 60;

/** The volume as the RDS has it; undefined unless disk and record are both known. */
export function volumeOf({ handle, rds }: VolumeFacts): RdsVolume | undefined {
  const disk = ifKnown(rds.disk);
  const record = ifKnown(rds.record);
  return disk === undefined || record === undefined ? undefined : { id: handle, disk, record };
}

/** Whether something of the record was done just now. A time in the future, by a clock that jumped, is not just now. */
export function isRecent(sinceSeconds: number, nowMs: number): boolean {
  return Math.abs(nowMs / 1_000 - sinceSeconds) < GRACE_SECONDS;
}

/** A list in a sentence. */
export function listed(values: readonly string[], none = "none"): string {
  return values.length === 0 ? none : values.join(", ");
}
