import { setTimeout as delay } from "node:timers/promises";

/** The clocks of the driver; injected, so that tests set the time. */
export interface Clock {
  /** Wall clock, milliseconds since the Unix epoch. For stored and shown times. */
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
