import type { Clock } from "../domain/clock.ts";
import { failure, isFailure, toDriverError } from "../domain/errors/driver-error.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";

/** Asks the orchestrator which cluster this is. */
export type ClusterIdSource = (signal: AbortSignal) => Promise<string>;

/** Pauses between tries, milliseconds: 0.5, 1, 2, … 30 s. */
const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 30_000;

export interface ClusterIdDeps {
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The cluster's id from the orchestrator, asked for until it is known. Which volumes are ours depends on it, so it is never
 * guessed, and it stays the same for the life of the process.
 * @param forbiddenIsFinal whether to give up when the API server does not allow to ask
 * @throws clusterIdUnknown when it may not be read; the abort reason
 */
export async function awaitClusterId(
  source: ClusterIdSource,
  { clock, logger }: ClusterIdDeps,
  signal: AbortSignal,
  { forbiddenIsFinal }: { readonly forbiddenIsFinal: boolean },
): Promise<string> {
  const failures = new RecurringFailure(logger, "asking Kubernetes for the id of the cluster");
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 2, LONGEST_PAUSE_MS)) {
    signal.throwIfAborted();
    try {
      const id = await source(signal);
      failures.worked();
      logger.info("this cluster's id is the UID of its namespace kube-system", { clusterId: id });
      return id;
    } catch (error) {
      signal.throwIfAborted();
      if (forbiddenIsFinal && isFailure(error, "kubernetesForbidden")) throw unknownClusterId(error);
      failures.failed(unknownClusterId(error));
    }
    await clock.sleep(pause, signal).catch(() => {});
  }
}

/** The id of a cluster that is asked for in the background, for what can begin without it. */
export class PendingClusterId {
  #id: string | undefined;
  #error: unknown;

  /** @param known the configured id, or undefined when the orchestrator is to be asked */
  constructor(known: string | undefined) {
    this.#id = known;
  }

  /** @throws clusterIdUnknown (UNAVAILABLE) while it is not known */
  get(): string {
    if (this.#id !== undefined) return this.#id;
    throw unknownClusterId(this.#error);
  }

  /** What keeps this process from being ready; nothing once it is known. */
  problems(): readonly string[] {
    return this.#id === undefined ? [unknownClusterId(this.#error).summary] : [];
  }

  /** Asks until it is known or the signal aborts. Never throws. */
  async learn(source: ClusterIdSource, deps: ClusterIdDeps, signal: AbortSignal): Promise<void> {
    if (this.#id !== undefined) return;
    const noted: ClusterIdSource = async (inner) => {
      try {
        return await source(inner);
      } catch (error) {
        this.#error = error;
        throw error;
      }
    };
    try {
      this.#id = await awaitClusterId(noted, deps, signal, { forbiddenIsFinal: false });
    } catch {
      // Stopping.
    }
  }
}

function unknownClusterId(error: unknown) {
  if (isFailure(error, "clusterIdUnknown")) return toDriverError(error);
  const reason = error === undefined ? "Kubernetes has not answered yet" : toDriverError(error).summary;
  return failure("clusterIdUnknown", { reason }, error);
}
