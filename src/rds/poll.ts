import type { Clock } from "../domain/clock.ts";

/** How long the RDS may take until a change shows; milliseconds. */
export const SETTLE_LIMIT_MS = 12_000;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 1_000;

/**
 * Reads until a condition holds, with growing pauses.
 * @param first what has been read already
 * @returns the last value read; the caller checks it again, as the time may have run out
 */
export async function pollUntil<T>(
  clock: Clock,
  signal: AbortSignal,
  first: T,
  read: () => Promise<T>,
  settled: (value: T) => boolean,
): Promise<T> {
  const end = clock.monotonic() + SETTLE_LIMIT_MS;
  let value = first;
  for (
    let pause = FIRST_PAUSE_MS;
    !settled(value) && clock.monotonic() < end;
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  ) {
    await clock.sleep(pause, signal);
    value = await read();
  }
  return value;
}
