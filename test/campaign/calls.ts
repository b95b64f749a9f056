import { outcome } from "../support/rpc.ts";
import type { History } from "./history.ts";
import { delay, type Site } from "./site.ts";

export interface Call<T> {
  readonly volume: string;
  readonly method: string;
  readonly process: string;
  readonly run: (deadlineMs: number) => Promise<T>;
  /** Outcomes that would be wrong, as a regular expression. */
  readonly never?: string;
}

export interface Answer<T> {
  readonly outcome: string;
  /** There if the outcome is OK. */
  readonly value: T | undefined;
}

const PATIENCE_MS = 2_500;

/** Calls as sidecars and kubelet make them: with a deadline, and repeated until they succeed or nobody wants them any more. */
export class Caller {
  /** No new actions begin. */
  ending = false;
  /** The faults have stopped: every call is repeated until it succeeds, up to this time (performance.now). */
  giveUpAt: number | undefined;
  count = 0;
  readonly #site: Site;
  readonly #history: History;

  constructor(site: Site, history: History) {
    this.#site = site;
    this.#history = history;
  }

  /** Nothing is repeated any more. */
  giveUp(): void {
    this.ending = true;
    this.giveUpAt = 0;
  }

  /** One call. */
  async once<T>({ volume, method, process, run, never }: Call<T>): Promise<Answer<T>> {
    const { deadlineMs } = this.#site.plan;
    const from = performance.now();
    let value: T | undefined;
    this.count += 1;
    const running = run(deadlineMs).then((result) => {
      value = result;
    });
    const answer = await outcome(running);
    this.#history.add({
      fact: "call",
      ...{ volume, method, process, deadlineMs, outcome: answer },
      tookMs: performance.now() - from,
      disturbed: this.#site.disturbed(process, from),
      ...(never === undefined ? {} : { never }),
    });
    return { outcome: answer, value };
  }

  /**
   * Repeats a call until it succeeds. While faults strike, a user loses patience after `attempts`, but not before PATIENCE_MS.
   * @returns the value; undefined if it has not succeeded
   */
  async until<T>(call: () => Call<T>, attempts = 3): Promise<{ readonly value: T } | undefined> {
    const from = performance.now();
    const impatient = (attempt: number) => attempt >= attempts && performance.now() - from > PATIENCE_MS;
    for (let attempt = 1; ; attempt += 1) {
      const { outcome: answer, value } = await this.once(call());
      if (answer === "OK") return { value: value as T };
      const enough =
        this.giveUpAt === undefined ? impatient(attempt) || this.ending : performance.now() > this.giveUpAt;
      if (enough) return undefined;
      await delay(this.giveUpAt === undefined ? 100 : 250);
    }
  }
}
