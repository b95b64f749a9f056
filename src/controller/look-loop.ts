import type { Clock } from "../domain/clock.ts";
import type { LastKnown } from "../domain/last-known.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";
import { inBackground } from "../observability/request-scope.ts";

/** A look that is repeated, so that a scrape sends no command. */
export interface LookLoop<T> {
  /** For the log: what is done. */
  readonly what: string;
  /** Kind of the background work. */
  readonly scope: string;
  /** Between two looks, milliseconds. */
  readonly intervalMs: number;
  readonly seen: LastKnown<T>;
  readonly look: (signal: AbortSignal) => Promise<T>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Pause after a look that failed. Milliseconds. */
const RETRY_MS = 60_000;
/** Time for one look. Milliseconds. */
const LIMIT_MS = 60_000;

/** Looks again and again until `signal` aborts; then nothing is known any more, as another replica looks. Never throws. */
export async function lookAgain<T>(loop: LookLoop<T>, signal: AbortSignal): Promise<void> {
  const { what, scope, intervalMs, seen, look, clock, logger } = loop;
  const failures = new RecurringFailure(logger, what);
  while (!signal.aborted) {
    let pause = intervalMs;
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
      seen.set(await inBackground(scope, () => look(limit)));
      failures.worked();
    } catch (error) {
      pause = RETRY_MS;
      if (!signal.aborted) failures.failed(error);
    }
    await clock.sleep(pause, signal).catch(() => {});
  }
  seen.clear();
}
