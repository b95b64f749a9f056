/** Keys that are kept; older ones belong to migrations of long ago. */
const CAPACITY = 10_000;

/**
 * What this process has tried to write and what it has reported, by key. A change whose reply was lost is found in the
 * record later; whoever tried to write it reports it, so replicas do not report it twice.
 */
export class Ledger {
  readonly #attempted = new Set<string>();
  readonly #reported = new Set<string>();

  attempt(key: string): void {
    remember(this.#attempted, key);
  }

  attempted(key: string): boolean {
    return this.#attempted.has(key);
  }

  reported(key: string): boolean {
    return this.#reported.has(key);
  }

  /** Marks a key as reported. @returns false if it was before */
  report(key: string): boolean {
    if (this.#reported.has(key)) return false;
    remember(this.#reported, key);
    return true;
  }
}

function remember(keys: Set<string>, key: string): void {
  keys.add(key);
  if (keys.size <= CAPACITY) return;
  const oldest = keys.values().next().value;
  if (oldest !== undefined) keys.delete(oldest);
}
