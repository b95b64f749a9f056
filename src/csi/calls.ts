import { failure } from "../domain/errors/driver-error.ts";

/** The calls that a server is working on: it can wait for them, and end them. */
export class CallRegistry {
  readonly #running = new Set<Promise<unknown>>();
  readonly #controllers = new Set<AbortController>();
  #closing = false;

  /** Number of calls and of handlers that are not finished. */
  get size(): number {
    return this.#running.size;
  }

  /**
   * A controller for a new call; call `release` when the call has been answered.
   * @throws shuttingDown (UNAVAILABLE) after `refuse`
   */
  open(): { controller: AbortController; release: () => void } {
    if (this.#closing) throw failure("shuttingDown", {});
    const controller = new AbortController();
    this.#controllers.add(controller);
    return { controller, release: () => this.#controllers.delete(controller) };
  }

  /** Counts `work` as running until it settles; returns it unchanged. */
  track<T>(work: Promise<T>): Promise<T> {
    this.#running.add(work);
    const done = () => this.#running.delete(work);
    work.then(done, done);
    return work;
  }

  /** From now on no call is accepted. */
  refuse(): void {
    this.#closing = true;
  }

  /** Aborts the calls that run, with shuttingDown as the reason. */
  abort(): void {
    for (const controller of this.#controllers) controller.abort(failure("shuttingDown", {}));
  }

  /** Resolves when nothing runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
