import { orAborted } from "../domain/abort.ts";
import type { Clock } from "../domain/clock.ts";
import { failure, isFailure, toDriverError } from "../domain/errors/driver-error.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";

/** Asks the orchestrator which cluster this is. */
export type ClusterIdSource = (signal: AbortSignal) => Promise<string>;

/** Pauses between tries, milliseconds. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 5_000;
/** One try, milliseconds. */
const TRY_MS = 10_000;

export interface ClusterIdDeps {
  readonly source: ClusterIdSource;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The id of a cluster. If it is not configured, the orchestrator is asked, and calls that need it fail until it has answered:
 * the driver never guesses which volumes are its own. A known id stays for the life of the process.
 */
export class PendingClusterId {
  readonly #deps: ClusterIdDeps;
  readonly #failures: RecurringFailure;
  #id: string | undefined;
  #error: unknown;
  #asking: Promise<string> | undefined;

  /** @param configured undefined: the orchestrator is to be asked */
  constructor(configured: string | undefined, deps: ClusterIdDeps) {
    this.#id = configured;
    this.#deps = deps;
    this.#failures = new RecurringFailure(deps.logger, "asking Kubernetes for the id of the cluster");
  }

  /** @throws clusterIdUnknown (UNAVAILABLE) while it is not known */
  get(): string {
    if (this.#id !== undefined) return this.#id;
    throw unknownClusterId(this.#error);
  }

  /** Reasons against readiness; none once the id is known. */
  problems(): readonly string[] {
    return this.#id === undefined ? [unknownClusterId(this.#error).summary] : [];
  }

  /** Asks once if it is not known. @throws clusterIdUnknown (UNAVAILABLE); the abort reason */
  async ensure(signal: AbortSignal): Promise<void> {
    if (this.#id !== undefined) return;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    await orAborted(this.#asking, signal);
  }

  /** Asks until it is known or the signal aborts. Never throws. */
  async learn(signal: AbortSignal): Promise<void> {
    for (let pause = FIRST_PAUSE_MS; this.#id === undefined && !signal.aborted; ) {
      const known = await this.ensure(signal).then(
        () => true,
        () => false,
      );
      if (known) return;
      await this.#deps.clock.sleep(pause, signal).catch(() => {});
      pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
    }
  }

  async #ask(): Promise<string> {
    try {
      const id = await this.#deps.source(AbortSignal.timeout(TRY_MS));
      this.#id = id;
      this.#failures.worked();
      this.#deps.logger.info("this cluster's id is the UID of its namespace kube-system", { clusterId: id });
      return id;
    } catch (error) {
      this.#error = error;
      const unknown = unknownClusterId(error);
      this.#failures.failed(unknown);
      throw unknown;
    }
  }
}

function unknownClusterId(error: unknown) {
  if (isFailure(error, "clusterIdUnknown")) return error;
  const reason = error === undefined ? "Kubernetes has not answered yet" : toDriverError(error).summary;
  return failure("clusterIdUnknown", { reason }, error);
}
