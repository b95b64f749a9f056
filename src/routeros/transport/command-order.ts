import type { Priority } from "./transport.ts";

/** A command that may have to keep an order with others. */
export interface OrderedItem {
  readonly orderKey: string | undefined;
  readonly priority: Priority;
  /** undefined while it waits to be sent. */
  readonly sentAt: number | undefined;
}

/**
 * The order of commands that change the same object, across all lanes: first come, first sent, one at a time; but an interactive command
 * overtakes background ones that wait, which compare before they change anything. A command keeps its place
 * from the moment at which it was asked for until it has left the queue unsent, or its channel has ended, or its connection is
 * gone and closed. So a command whose caller has given up still holds back the next one.
 */
export class CommandOrder<T extends OrderedItem> {
  readonly #rows = new Map<string, T[]>();

  /** Gives a command its place among the others with its key. */
  enter(item: T): void {
    if (item.orderKey === undefined) return;
    const row = this.#rows.get(item.orderKey);
    if (row === undefined) this.#rows.set(item.orderKey, [item]);
    else if (item.priority === "background") row.push(item);
    else {
      const last = row.findLastIndex(
        ({ priority, sentAt }) => priority === "interactive" || sentAt !== undefined,
      );
      row.splice(last + 1, 0, item);
    }
  }

  /** Whether no earlier command with its key is left. */
  isFirst(item: T): boolean {
    return item.orderKey === undefined || this.#rows.get(item.orderKey)?.[0] === item;
  }

  /** Takes a command out. @returns whether another one is the first now */
  leave(item: T): boolean {
    if (item.orderKey === undefined) return false;
    const row = this.#rows.get(item.orderKey);
    const at = row?.indexOf(item) ?? -1;
    if (row === undefined || at < 0) return false;
    row.splice(at, 1);
    if (row.length === 0) this.#rows.delete(item.orderKey);
    return at === 0 && row.length > 0;
  }
}
