import { AsyncLocalStorage } from "node:async_hooks";
import { randomUUID } from "node:crypto";
import type { Logger } from "./log.ts";

/** The request that code runs for; both are fields of every log line of that code. */
export interface RequestScope {
  /** RPC name, or the name of a background job, e.g. `reconcile`. */
  readonly method: string;
  readonly requestId: string;
}

const scope = new AsyncLocalStorage<RequestScope>();

/** Runs `work`, and everything that it starts, for a request. */
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
 * A logger for things that outlive requests, e.g. connections and watches. The request that started them is not on its
 * lines.
 */
export function withoutRequest(logger: Logger): Logger {
  return logger.child({ method: undefined, requestId: undefined });
}
