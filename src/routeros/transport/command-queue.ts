import type { Priority } from "./transport.ts";

/** A command that waits for its connection. */
export interface QueueItem {
  readonly key: string | undefined;
  priority: Priority;
}

/** After so many interactive commands in a row, a waiting background command gets its turn. */
const INTERACTIVE_RUN = 8;

/**
 * Bounded queue of one connection: first come, first served within a priority. Items with a key can be found by
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

  /** Adds an item at the end of its priority; false if the queue is full. */
  push(item: T): boolean {
    if (this.size >= this.#limit) return false;
    this.#listOf(item.priority).push(item);
    return true;
  }

  /** Puts back an item that was taken but never sent; it had its place already, so the limit does not apply. */
  putBack(item: T): void {
    this.#listOf(item.priority).unshift(item);
  }

  /** The waiting item with this key. */
  find(key: string): T | undefined {
    return (
      this.#interactive.find((item) => item.key === key) ?? this.#background.find((item) => item.key === key)
    );
  }

  /** Makes a waiting background item interactive, since an interactive caller joined it. */
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

  /** The next item to send. */
  take(): T | undefined {
    const turn = this.#interactive.length === 0 || this.#run >= INTERACTIVE_RUN;
    const background = turn ? this.#background.shift() : undefined;
    this.#run = background === undefined && this.#background.length > 0 ? this.#run + 1 : 0;
    return background ?? this.#interactive.shift();
  }

  /** Removes and returns everything that waits. */
  drain(): T[] {
    return [...this.#interactive.splice(0), ...this.#background.splice(0)];
  }

  #listOf(priority: Priority): T[] {
    return priority === "interactive" ? this.#interactive : this.#background;
  }
}
