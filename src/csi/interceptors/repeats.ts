/** An error that occurred again while its line was held back. */
export interface Repeat<T> {
  readonly detail: T;
  /** How often since the last line about it. */
  readonly times: number;
}

/**
 * Decides which of many equal events get a line: the first of a kind, then at most one per window that says how many
 * there were. Remembers a bounded number of kinds.
 */
export class Repeats<T> {
  readonly #windowMs: number;
  readonly #kinds = new Map<string, { since: number; held: number; detail: T }>();
  readonly #limit: number;

  /**
   * @param windowMs how long equal events are held back, milliseconds
   * @param limit kinds that are remembered; beyond it the oldest is forgotten
   */
  constructor(windowMs: number, limit = 1_000) {
    this.#windowMs = windowMs;
    this.#limit = limit;
  }

  /**
   * Notes an event at `now` (monotonic milliseconds).
   * @returns whether it gets a line of its own
   */
  note(kind: string, detail: T, now: number): boolean {
    const known = this.#kinds.get(kind);
    if (known !== undefined && now - known.since < this.#windowMs) {
      known.held += 1;
      known.detail = detail;
      return false;
    }
    this.#kinds.delete(kind);
    this.#kinds.set(kind, { since: now, held: 0, detail });
    return true;
  }

  /** Takes out the events whose window has ended, or that had to make room, and that were held back at least once. */
  expired(now: number): Repeat<T>[] {
    const result: Repeat<T>[] = [];
    for (const [kind, { since, held, detail }] of this.#kinds) {
      // Insertion order is age order: everything after the first young one is younger still.
      if (now - since < this.#windowMs && this.#kinds.size <= this.#limit) break;
      this.#kinds.delete(kind);
      if (held > 0) result.push({ detail, times: held });
    }
    return result;
  }
}
