import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { asksForLimit } from "../migration/deadline.ts";
import type { Logger } from "../observability/log.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { EvidenceSource, MigrationWindow } from "./evidence.ts";

/** Limit for `auto` while KubeVirt's own is unknown. Generous, as a passed limit is only reported. Seconds. */
export const UNKNOWN_LIMIT_SECONDS = 3_600;

type Limits = Pick<EvidenceSource, "allowedSeconds">;

/** The limit that a migration begins with, in seconds; 0 = none. A migration with an unknown limit is not refused. */
export async function limitAtStart(
  evidence: Limits,
  volume: RdsVolume,
  window: MigrationWindow,
  logger: Logger,
  signal: AbortSignal,
): Promise<number> {
  const allowed = await evidence.allowedSeconds(volume, window, signal);
  if (allowed.kind === "known") return allowed.seconds;
  const seconds = UNKNOWN_LIMIT_SECONDS;
  logger.warn("KubeVirt's time limit for a migration is not known, another one is assumed", {
    volume: volume.id,
    node: window.target,
    seconds,
    reason: allowed.reason,
  });
  return seconds;
}

/**
 * The limit of a running migration in seconds, asked for again before the migration is reported as overdue.
 * @param now seconds since the Unix epoch
 * @returns undefined: that of the record holds; "later": Kubernetes does not answer now
 */
export async function limitNow(
  evidence: Limits,
  volume: RdsVolume,
  now: number,
  logger: Logger,
  signal: AbortSignal,
): Promise<number | undefined | "later"> {
  const window = windowOf(volume.record);
  if (window === undefined || !asksForLimit(volume.record, now)) return undefined;
  const allowed = await evidence.allowedSeconds(volume, window, signal);
  if (allowed.kind === "known") return allowed.seconds;
  const { reason, passing } = allowed;
  logger.debug("KubeVirt's time limit for a migration is not known", { volume: volume.id, reason });
  return passing ? "later" : undefined;
}

function windowOf({ migration, attachments }: VolumeRecord): MigrationWindow | undefined {
  const target = attachments[1]?.node;
  return migration === undefined || target === undefined ? undefined : { target, since: migration.since };
}
