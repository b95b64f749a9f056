import type { Clock } from "./clock.ts";

/** How often and for how long a state is looked at, in milliseconds. */
export interface PollLimits {
  readonly everyMs: number;
  readonly withinMs: number;
}

/**
 * Looks at a state again and again: at once, then after each pause, until `look` has an answer or the time is over.
 * @param look undefined means "look again"; an error ends the wait
 * @returns the answer; undefined when the time was over before there was one
 * @throws the error of `look`; the abort reason of the signal
 */
export async function poll<T>(
  clock: Clock,
  { everyMs, withinMs }: PollLimits,
  look: () => Promise<T | undefined>,
  signal?: AbortSignal,
): Promise<T | undefined> {
  const until = clock.monotonic() + withinMs;
  for (;;) {
    const answer = await look();
    if (answer !== undefined || clock.monotonic() >= until) return answer;
    await clock.sleep(everyMs, signal);
  }
}
