import type { Priority } from "./transport.ts";

/** A command that waits for its connection. */
export interface QueueItem {
  readonly key: string | undefined;
  /** Greater for items that were asked for later. */
  readonly sequence: number;
  priority: Priority;
}

/** After so many interactive commands in a row, a waiting background command gets its turn. */
const INTERACTIVE_RUN = 8;

/**
 * Bounded queue of one lane: first come, first served within a priority. Items with a key can be found by
 * it while they wait and no longer than that: a caller may join a command that has not been sent yet, as its answer
 * will show everything that was true when the caller asked. A command that runs already may have looked at the RDS
 * before a change that the caller has since made, so it is never joined.
 */
export class CommandQueue<T extends QueueItem> {
  readonly #limit: number;
  readonly #interactive: T[] = [];
  readonly #background: T[] = [];
  #run = 0;

  /** @param limit how many items may wait */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#interactive.length + this.#background.length;
  }

  /** Everything that waits. */
  get items(): readonly T[] {
    return [...this.#interactive, ...this.#background];
  }

  /** Adds an item at the end of its priority; false if the queue is full. */
  push(item: T): boolean {
    if (this.size >= this.#limit) return false;
    this.#listOf(item.priority).push(item);
    return true;
  }

  /** Puts an item that was taken but never sent back into its place; the limit does not apply. */
  putBack(item: T): void {
    const list = this.#listOf(item.priority);
    const later = list.findIndex(({ sequence }) => sequence > item.sequence);
    list.splice(later < 0 ? list.length : later, 0, item);
  }

  /** The waiting item with this key. */
  find(key: string): T | undefined {
    return (
      this.#interactive.find((item) => item.key === key) ?? this.#background.find((item) => item.key === key)
    );
  }

  /** Makes a waiting background item interactive, since an interactive caller waits for it. */
  raise(item: T): void {
    if (item.priority === "interactive" || !this.remove(item)) return;
    item.priority = "interactive";
    this.#interactive.push(item);
  }

  /** Removes a waiting item; false if it does not wait here. */
  remove(item: T): boolean {
    const list = this.#listOf(item.priority);
    const at = list.indexOf(item);
    if (at < 0) return false;
    list.splice(at, 1);
    return true;
  }

  /**
   * The next item to send.
   * @param isReady whether an item may be sent now; others keep their place
   * @param mayRunBackground whether a background item may be taken
   */
  take(isReady: (item: T) => boolean = () => true, mayRunBackground = true): T | undefined {
    const background = mayRunBackground ? this.#background.find(isReady) : undefined;
    const interactive = this.#interactive.find(isReady);
    const isTurn = interactive === undefined || this.#run >= INTERACTIVE_RUN;
    const next = isTurn ? (background ?? interactive) : interactive;
    if (next === undefined || !this.remove(next)) return undefined;
    this.#run = next === interactive && this.#background.length > 0 ? this.#run + 1 : 0;
    return next;
  }

  /** Removes and returns everything that waits. */
  drain(): T[] {
    return [...this.#interactive.splice(0), ...this.#background.splice(0)];
  }

  #listOf(priority: Priority): T[] {
    return priority === "interactive" ? this.#interactive : this.#background;
  }
}
