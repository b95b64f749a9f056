import { linkAbort, orAborted } from "../domain/abort.ts";
import type { Clock } from "../domain/clock.ts";

/** Thrown (as the abort reason) when a call took longer than it may. */
export class DeadlineError extends Error {
  constructor(ms: number) {
    super(`no answer within ${ms / 1000} s`);
    this.name = "DeadlineError";
  }
}

/**
 * Runs `work` with a signal that aborts with the caller's signal or after `ms` milliseconds. Settles when the signal
 * does, also if `work` ignores it.
 * @throws the caller's abort reason, or DeadlineError
 */
export async function withDeadline<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  signal?.throwIfAborted();
  const own = new AbortController();
  const done = new AbortController();
  const unlink = signal === undefined ? () => {} : linkAbort(signal, own);
  clock.sleep(ms, done.signal).then(
    () => own.abort(new DeadlineError(ms)),
    () => {},
  );
  try {
    return await orAborted(work(own.signal), own.signal);
  } finally {
    done.abort();
    unlink();
  }
}
