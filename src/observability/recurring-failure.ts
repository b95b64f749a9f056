import { DriverError } from "../domain/errors/driver-error.ts";
import type { Logger } from "./log.ts";

/**
 * The failures of a job that is repeated by itself: one line when it begins to fail, and when it fails for another reason; one when it works
 * again, with how often it failed. The repetitions are debug lines.
 */
export class RecurringFailure {
  readonly #logger: Logger;
  readonly #job: string;
  #reason: string | undefined;
  #times = 0;

  /** @param job first words of the lines, e.g. `reconcile` */
  constructor(logger: Logger, job: string) {
    this.#logger = logger;
    this.#job = job;
  }

  failed(error: unknown): void {
    const reason = error instanceof DriverError ? error.id : String(error);
    this.#times += 1;
    const news = reason !== this.#reason;
    this.#reason = reason;
    this.#logger[news ? "warn" : "debug"](`${this.#job} failed, it is repeated`, {
      error,
      times: this.#times,
    });
  }

  worked(): void {
    if (this.#times > 0) this.#logger.info(`${this.#job} works again`, { times: this.#times });
    this.#times = 0;
    this.#reason = undefined;
  }
}
