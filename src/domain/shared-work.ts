import { AsyncResource } from "node:async_hooks";
import { orAborted } from "./abort.ts";

interface Job {
  readonly key: string;
  readonly work: (signal: AbortSignal) => Promise<unknown>;
  readonly result: PromiseWithResolvers<unknown>;
  /** Aborted when the last caller has gone. */
  readonly abandon: AbortController;
  /** Of the first caller. */
  readonly owner: string | undefined;
  callers: number;
}

/**
 * Runs a few pieces of work at a time. Callers of equal work that has not begun share it: each gets a result of work that began after it
 * called. So the memory of the work is bounded, however many call at once.
 */
export class SharedWork {
  readonly #waiting = new Map<string, Job>();
  readonly #most: number;
  readonly #caller: () => string | undefined;
  readonly #joined: (owner: string) => void;
  #running = 0;

  /**
   * @param most pieces of work that run at the same time
   * @param caller names the caller of `run`, for the log
   * @param joined is told the name of the first caller by each one that shares its work
   */
  constructor(
    most: number,
    caller: () => string | undefined = () => undefined,
    joined: (owner: string) => void = () => {},
  ) {
    this.#most = most;
    this.#caller = caller;
    this.#joined = joined;
  }

  /**
   * Runs work, or joins equal work that waits. The work is aborted when its last caller has gone. It runs in the asynchronous context of
   * its first caller.
   * @param key the same for equal work, whose result the callers share
   */
  async run<T>(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const waiting = this.#waiting.get(key);
    const job = waiting ?? {
      ...{ key, work: AsyncResource.bind(work), callers: 0, owner: this.#caller() },
      result: Promise.withResolvers<unknown>(),
      abandon: new AbortController(),
    };
    if (waiting === undefined) {
      job.result.promise.catch(() => {});
      this.#waiting.set(key, job);
    } else if (job.owner !== undefined) this.#joined(job.owner);
    job.callers += 1;
    this.#start();
    try {
      return (await orAborted(job.result.promise, signal)) as T;
    } finally {
      job.callers -= 1;
      if (job.callers === 0) this.#leave(job, signal);
    }
  }

  #leave(job: Job, { reason }: AbortSignal): void {
    if (this.#waiting.get(job.key) === job) this.#waiting.delete(job.key);
    job.abandon.abort(reason);
  }

  #start(): void {
    for (const job of this.#waiting.values()) {
      if (this.#running >= this.#most) return;
      this.#waiting.delete(job.key);
      this.#running += 1;
      void this.#finish(job);
    }
  }

  async #finish({ work, result, abandon }: Job): Promise<void> {
    try {
      result.resolve(await work(abandon.signal));
    } catch (error) {
      result.reject(error);
    } finally {
      this.#running -= 1;
      this.#start();
    }
  }
}
