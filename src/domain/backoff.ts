import type { Clock } from "./clock.ts";

/** Limits of a growing wait, in milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The wait after `failures` failures in a row, in milliseconds: doubled per failure and capped. Between half and all of that is drawn
 * at random, so that replicas that lost a server together do not return together.
 * @param failures 0 means no wait
 * @param random uniform in [0, 1); left out: always the whole wait
 */
export function backoffDelay(
  failures: number,
  { firstMs, maxMs }: BackoffLimits,
  random: () => number = () => 1,
): number {
  if (failures <= 0) return 0;
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}

export interface RetryOptions extends BackoffLimits {
  readonly clock: Pick<Clock, "sleep">;
  readonly signal: AbortSignal;
  /** How often the work is tried. */
  readonly attempts: number;
  /** See backoffDelay. */
  readonly random?: () => number;
  /** Called before each further attempt. Returns the shortest wait in milliseconds, or undefined to give up. */
  readonly again: (error: unknown) => number | undefined;
}

/**
 * Runs `work` until it succeeds, with growing waits in between.
 * @throws the error of the last attempt; the abort reason during a wait
 */
export async function retry<T>(work: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { clock, signal, attempts, random, again } = options;
  for (let failures = 1; ; failures += 1) {
    try {
      return await work();
    } catch (error) {
      const leastMs = failures < attempts && !signal.aborted ? again(error) : undefined;
      if (leastMs === undefined) throw error;
      await clock.sleep(Math.max(backoffDelay(failures, options, random), leastMs), signal);
    }
  }
}
