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

/** The most that `steady` counts for one gap between two looks, milliseconds. */
const STALL_MS = 10;
const LOOK_MS = 4;
let seenAt = systemClock.monotonic();
let steadyMs = 0;

/** Milliseconds that this process has been running, without the time for which a busy machine has stopped it. */
function steady(): number {
  const at = systemClock.monotonic();
  steadyMs += Math.min(at - seenAt, STALL_MS);
  seenAt = at;
  return steadyMs;
}
setInterval(steady, LOOK_MS).unref();

/**
 * The clocks of this machine, so many times as fast; the controllers and the device of a stack are to share one. They stand while the machine does not
 * let this process run: minutes would else pass between two words of a line.
 */
export function fastClock(times: number): Clock {
  const [wall, monotonic, begun] = [systemClock.now(), systemClock.monotonic(), steady()];
  const passed = () => (steady() - begun) * times;
  return {
    now: () => Math.floor(wall + passed()),
    monotonic: () => monotonic + passed(),
    sleep: async (ms, signal) => {
      for (const end = passed() + ms; ; ) {
        await systemClock.sleep(Math.max(0, (end - passed()) / times), signal);
        if (passed() >= end) return;
      }
    },
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
