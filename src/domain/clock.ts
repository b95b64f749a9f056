import { setTimeout as delay } from "node:timers/promises";

/** Time as the driver sees it; injected, so that tests decide what time it is. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. For what is stored or shown. */
  now(): number;
  /** Monotonic clock in milliseconds. For durations and deadlines. */
  monotonic(): number;
  /** Resolves after `ms` milliseconds; rejects with the signal's reason when aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The clocks of this machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
