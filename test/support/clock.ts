import { type Clock, systemClock } from "../../src/domain/clock.ts";

interface Sleeper {
  readonly until: number;
  readonly wake: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock implements Clock {
  #elapsed = 0;
  readonly #start: number;
  readonly #sleepers = new Set<Sleeper>();

  constructor(start = 1_700_000_000_000) {
    this.#start = start;
  }

  /** Number of sleeps that have not ended. */
  get sleeping(): number {
    return this.#sleepers.size;
  }

  now(): number {
    return this.#start + this.#elapsed;
  }

  monotonic(): number {
    return this.#elapsed;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = {
        until: this.#elapsed + ms,
        wake: () => {
          this.#sleepers.delete(sleeper);
          resolve();
        },
      };
      const cancel = () => {
        this.#sleepers.delete(sleeper);
        reject(signal?.reason);
      };
      if (signal?.aborted === true) return cancel();
      signal?.addEventListener("abort", cancel, { once: true });
      this.#sleepers.add(sleeper);
    });
  }

  /** Moves time and lets what it woke run. */
  async advance(ms: number): Promise<void> {
    this.#elapsed += ms;
    for (const sleeper of [...this.#sleepers]) if (sleeper.until <= this.#elapsed) sleeper.wake();
    await settled();
  }
}

/** Lets all promise reactions that are due run. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** The clocks of this machine, so many times as fast; the controllers and the device of a stack are to share one. */
export function fastClock(times: number): Clock {
  const [wall, monotonic] = [systemClock.now(), systemClock.monotonic()];
  return {
    now: () => Math.floor(wall + (systemClock.now() - wall) * times),
    monotonic: () => monotonic + (systemClock.monotonic() - monotonic) * times,
    sleep: (ms, signal) => systemClock.sleep(ms / times, signal),
  };
}

/** The clocks of this machine, which a test can move on. */
export function steppedClock(): Clock & { pass(seconds: number): void } {
  let offset = 0;
  return {
    now: () => systemClock.now() + offset,
    monotonic: () => systemClock.monotonic() + offset,
    sleep: systemClock.sleep,
    pass: (seconds) => {
      offset += seconds * 1_000;
    },
  };
}
