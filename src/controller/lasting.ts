import type { Clock } from "../domain/clock.ts";

/** Since when this process has found something at each of its looks; found anew after a look without it. */
export class Lasting {
  readonly #clock: Pick<Clock, "monotonic">;
  #known = new Map<string, number>();
  #seen = new Map<string, number>();

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
  }

  /** Notes that something is so now. @returns for how long it has been so, milliseconds; 0 at the first look */
  note(key: string): number {
    const now = this.#clock.monotonic();
    const since = this.#known.get(key) ?? now;
    this.#seen.set(key, since);
    return now - since;
  }

  /** A look is over: what it did not find has ended. */
  endLook(): void {
    this.#known = this.#seen;
    this.#seen = new Map();
  }
}
