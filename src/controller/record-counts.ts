import type { Clock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { LastKnown } from "../domain/last-known.ts";
import type { Logger } from "../observability/log.ts";
import { inBackground } from "../observability/request-scope.ts";
import type { RecordCounts } from "../rds/known-volumes.ts";
import type { Rds } from "../rds/rds.ts";

export type { RecordCounts } from "../rds/known-volumes.ts";

/**
 * After so long without a list of all records one is read. A little longer than the interval of reconcile, whose list
 * counts as well: the replica that reconciles reads nothing for this. Milliseconds.
 */
export const REFRESH_MS = 65_000;
/** Without a list for so long, the counts are not known any more. Milliseconds. */
export const COUNTS_MAX_AGE_MS = 180_000;
/** The first look leaves reconcile the chance to read first. Milliseconds. */
const FIRST_MS = 2_000;
/** After a list that failed. Milliseconds. */
const RETRY_MS = 5_000;
/** One list must be done after this time. Milliseconds. */
const LIMIT_MS = 15_000;

export interface RecordWatchOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Keeps the counts of the records on the RDS known, so that a scrape never has to ask: they follow every list, lookup and
 * change of this process, and are read anew when nothing has listed them for a while. Costs at most one RouterOS command
 * per REFRESH_MS while the RDS answers.
 */
export class RecordWatch {
  readonly #options: RecordWatchOptions;
  readonly #listed: LastKnown<true>;
  #problem: string | undefined = "the RDS has not been read yet";
  #wake = new AbortController();

  constructor(options: RecordWatchOptions) {
    this.#options = options;
    this.#listed = new LastKnown(options.clock, COUNTS_MAX_AGE_MS);
    options.rds.known.onList(() => {
      this.#listed.set(true);
      this.#problem = undefined;
    });
  }

  /** Counts as last known; undefined before the first list, and when the last one is too old. Asks nobody. */
  counts(): RecordCounts | undefined {
    return this.#listed.get() === undefined ? undefined : this.#options.rds.known.counts();
  }

  /** Why the RDS has not been read since this process started; undefined from the first success on, for good. */
  get neverRead(): string | undefined {
    return this.#problem;
  }

  /** Reads soon, e.g. after a reconnect, unless that has just been done. */
  trigger(): void {
    this.#wake.abort();
  }

  /** Reads all records now. Never throws. One command. */
  async refresh(signal: AbortSignal): Promise<boolean> {
    const { rds, logger } = this.#options;
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
      await inBackground("refresh", () => rds.list(limit));
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      logger.debug("the records could not be read", { error });
      if (this.#problem !== undefined)
        this.#problem = error instanceof DriverError ? error.summary : String(error);
      return false;
    }
  }

  /** Reads whenever nobody else has for a while, until `signal` aborts. Never throws. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    let pause = FIRST_MS;
    while (!signal.aborted) {
      await clock.sleep(pause, AbortSignal.any([signal, this.#wake.signal])).catch(() => {});
      if (signal.aborted) return;
      let maxAgeMs = REFRESH_MS;
      if (this.#wake.signal.aborted) {
        this.#wake = new AbortController();
        // What woke this wakes reconcile too, whose list is as good.
        const woken = clock.monotonic();
        await clock.sleep(FIRST_MS, signal).catch(() => {});
        maxAgeMs = clock.monotonic() - woken;
      }
      const known = this.#listed.ageMs < maxAgeMs || (await this.refresh(signal));
      pause = known ? Math.max(FIRST_MS, REFRESH_MS - this.#listed.ageMs) : RETRY_MS;
    }
  }
}
