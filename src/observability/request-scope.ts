import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { Logger } from "./log.ts";

/** On whose behalf code runs; both are fields of every log line that it writes. */
export interface RequestScope {
  /** RPC name, or the name of a background job, e.g. `reconcile`. */
  readonly method: string;
  readonly requestId: string;
}

const scope = new AsyncLocalStorage<RequestScope>();

/** Runs `work`, and whatever it starts, on behalf of a request. */
export function inRequest<T>(request: RequestScope, work: () => T): T {
  return scope.run(request, work);
}

/** Runs one round of a background job on behalf of itself, with a fresh id. */
export function inBackground<T>(job: string, work: () => T): T {
  return scope.run({ method: job, requestId: randomUUID() }, work);
}

/** The request on whose behalf the caller runs. */
export function currentRequest(): RequestScope | undefined {
  return scope.getStore();
}

/**
 * A logger for what outlives requests, such as connections and watches: the request that happened to start them is not on
 * its lines.
 */
export function withoutRequest(logger: Logger): Logger {
  return logger.child({ method: undefined, requestId: undefined });
}
