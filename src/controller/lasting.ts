import type { Clock } from "../domain/clock.ts";

/** Remembers since when this process has found a thing at each of its looks. */
export class Lasting {
  readonly #clock: Pick<Clock, "monotonic">;
  #known = new Map<string, number>();
  #seen = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Notes that a look found the thing. @returns since when it was found at each look, in milliseconds; 0 at the first look */
  note(key: string): number {
    const now = this.#clock.monotonic();
    const since = this.#known.get(key) ?? now;
    this.#seen.set(key, since);
    return now - since;
  }

  /** Ends a look: things that it did not find are forgotten. */
  endLook(): void {
    this.#known = this.#seen;
    this.#seen = new Map();
  }
}
