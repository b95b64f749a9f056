/** Lets one holder in at a time, in the order of arrival. */
export class Mutex {
  #tail: Promise<void> = Promise.resolve();

  /** Waits for the turn; the returned function ends it and may be called once. */
  async acquire(): Promise<() => void> {
    const before = this.#tail;
    let release = () => {};
    this.#tail = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    return release;
  }
}

/** Decides at random, but the same for the same seed, how many turns a line waits for others. */
export class Turns {
  #seed: number | undefined;
  #state = 1;

  /** 0, 1 or 2 turns; half of all draws are 0. */
  draw(seed: number): number {
    if (this.#seed !== seed) {
      this.#seed = seed;
      this.#state = (Math.imul(seed, 0x9e3779b1) ^ 0x5bf03635) | 1;
    }
    // xorshift32 (Marsaglia 2003).
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return [0, 0, 1, 2][(this.#state >>> 8) & 3] ?? 0;
  }
}
