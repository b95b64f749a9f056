import type { Clock } from "./clock.ts";

/**
 * An observed value that goes stale. Unknown is undefined, never an old value or 0.
 */
export class LastKnown<T> {
  readonly #clock: Clock;
  readonly #maxAgeMs: number;
  #seen: { readonly at: number; readonly value: T } | undefined;

  /** @param maxAgeMs age at which an observation is stale, milliseconds */
  constructor(clock: Clock, maxAgeMs: number) {
    this.#clock = clock;
    this.#maxAgeMs = maxAgeMs;
  }

  /** Observed now. */
  set(value: T): void {
    this.#seen = { at: this.#clock.monotonic(), value };
  }

  /** The value is unknown from now on. */
  clear(): void {
    this.#seen = undefined;
  }

  /** Milliseconds since the last observation; Infinity when there is none. */
  get ageMs(): number {
    return this.#seen === undefined ? Infinity : this.#clock.monotonic() - this.#seen.at;
  }

  /** The value; undefined when it was never observed, was cleared, or is too old. */
  get(): T | undefined {
    return this.ageMs <= this.#maxAgeMs ? this.#seen?.value : undefined;
  }
}
