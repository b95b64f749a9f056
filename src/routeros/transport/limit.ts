import type { Transport } from "./transport.ts";

/**
 * A limit for everything that a command of a person asks of the RDS. When the time is over, the abort reason names the
 * RouterOS command that has no answer, or says that there is no connection.
 * @param stop ends it sooner
 * @returns `clear` must be called in the end
 */
export function limitOf(
  transport: Pick<Transport, "whyNoAnswer">,
  seconds: number,
  stop: AbortSignal,
): { readonly signal: AbortSignal; clear(): void } {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(transport.whyNoAnswer(seconds)), seconds * 1_000);
  return { signal: AbortSignal.any([stop, limit.signal]), clear: () => clearTimeout(timer) };
}
