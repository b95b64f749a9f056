import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { RecordCounts } from "./migration-metrics.ts";

/** Scrapes within this time share one listing; several gauges of one scrape do anyway. Milliseconds. */
const FRESH_MS = 2_000;
/** A scrape must not wait longer for the RDS. Milliseconds. */
const LIMIT_MS = 5_000;

/** Counts of the records on the RDS. */
export function countRecords(volumes: readonly RdsVolume[]): RecordCounts {
  return {
    migrating: volumes.filter(({ record }) => record.migration !== undefined).length,
    dualAttached: volumes.filter(({ record }) => record.attachments.length === 2).length,
  };
}

/**
 * Reads the counts from the RDS when a scrape asks. undefined when the RDS does not answer in time.
 * @param stop ends a read that runs at shutdown
 */
export function recordCounter(
  rds: Rds,
  clock: Clock,
  logger: Logger,
  stop: AbortSignal,
): () => Promise<RecordCounts | undefined> {
  let last: { readonly at: number; readonly counts: Promise<RecordCounts | undefined> } | undefined;
  const read = async (): Promise<RecordCounts | undefined> => {
    try {
      const { volumes } = await rds.list(AbortSignal.any([stop, AbortSignal.timeout(LIMIT_MS)]));
      return countRecords(volumes);
    } catch (error) {
      logger.debug("the records could not be counted", { error });
      return undefined;
    }
  };
  return () => {
    const now = clock.monotonic();
    if (last === undefined || now - last.at > FRESH_MS) last = { at: now, counts: read() };
    return last.counts;
  };
}
