import type { Clock } from "../domain/clock.ts";
import { cancelledBy, failure } from "../domain/errors/driver-error.ts";

export interface ConnectQueueOptions {
  /** Largest number of connects that run at once, at least 1. */
  readonly limit: number;
  readonly clock: Clock;
  /** From 0 to below 1; Math.random. */
  readonly random?: () => number;
}

/** How long a connect may wait for its turn, milliseconds: the kubelet gives a call two minutes. */
const WAIT_MS = 45_000;
/** Longest pause before a connect that had to wait, milliseconds. */
const JITTER_MS = 250;

/**
 * Bounds the number of connects that run at once on this node, in the order of asking. After an outage of the RDS, every
 * volume of every node connects in the same moment. A connect that had to wait starts with a small random pause, which
 * prevents waves.
 */
export interface ConnectQueue {
  /**
   * Runs `work` when its turn comes. Its place is free again when it has settled, so `work` must have a deadline.
   * @param what names the work in errors
   * @throws connectQueueFull after 45 s (UNAVAILABLE); the signal's reason if that is a DriverError, else cancelled
   */
  run<T>(what: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
  readonly running: number;
  readonly waiting: number;
}

/** @throws RangeError if the limit is not a whole number of at least 1 */
export function createConnectQueue(options: ConnectQueueOptions): ConnectQueue {
  const { limit, clock, random = Math.random } = options;
  if (!Number.isInteger(limit) || limit < 1) throw new RangeError(`limit ${limit}`);
  /** Each lets a connect begin. */
  const waiters: (() => void)[] = [];
  let running = 0;

  const turn = (what: string, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const timer = new AbortController();
      const leave = (): void => {
        const place = waiters.indexOf(admit);
        if (place >= 0) waiters.splice(place, 1);
        signal?.removeEventListener("abort", onAbort);
        timer.abort();
      };
      const admit = (): void => {
        leave();
        resolve();
      };
      const onAbort = (): void => {
        leave();
        if (signal !== undefined) reject(cancelledBy(signal, what));
      };
      waiters.push(admit);
      signal?.addEventListener("abort", onAbort, { once: true });
      clock.sleep(WAIT_MS, timer.signal).then(
        () => {
          // It may have been admitted in this very moment.
          const ahead = waiters.indexOf(admit);
          if (ahead < 0) return;
          leave();
          reject(failure("connectQueueFull", { what, seconds: Math.round(WAIT_MS / 1_000), limit, ahead }));
        },
        () => {}, // its turn has come, or the caller has gone
      );
    });

  /** Passes the place on to the first that waits. */
  const free = (): void => {
    const next = waiters.shift();
    if (next === undefined) running -= 1;
    else next();
  };

  return {
    run: async (what, work, signal) => {
      if (signal?.aborted) throw cancelledBy(signal, what);
      const waits = running >= limit;
      if (waits) await turn(what, signal);
      else running += 1;
      try {
        if (waits) await clock.sleep(Math.floor(random() * JITTER_MS), signal);
        return await work();
      } finally {
        free();
      }
    },
    get running() {
      return running;
    },
    get waiting() {
      return waiters.length;
    },
  };
}
