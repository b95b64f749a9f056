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
