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
/** The scopes of background jobs. Not a field of the scope: its fields are on every log line. */
const background = new WeakSet<RequestScope>();

/** Runs `work`, and everything that it starts, for a request. */
export function inRequest<T>(request: RequestScope, work: () => T): T {
  return scope.run(request, work);
}

/** Runs one round of a background job on behalf of itself, with a fresh id. */
export function inBackground<T>(job: string, work: () => T): T {
  const round = { method: job, requestId: randomUUID() };
  background.add(round);
  return scope.run(round, work);
}

/** Whether the caller runs for a background job: nobody waits for it. */
export function isInBackground(): boolean {
  const current = scope.getStore();
  return current !== undefined && background.has(current);
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
