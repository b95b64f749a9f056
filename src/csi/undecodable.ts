import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import { Repeats } from "./interceptors/repeats.ts";

/** How long equal lines are held back, milliseconds. */
const WINDOW_MS = 60_000;

/** Told of a request that is no message of its RPC. @param bytes length of the request */
export type OnUndecodable = (method: string, bytes: number, error: unknown) => void;

/**
 * Logs requests that cannot be decoded, one line per RPC and minute. grpc-js answers them (INTERNAL) before any interceptor sees the
 * call, so without this a broken or hostile caller leaves no trace.
 */
export function logUndecodable(logger: Logger, clock: Pick<Clock, "monotonic">): OnUndecodable {
  const repeats = new Repeats<{ method: string; bytes: number; error: unknown }>(WINDOW_MS);
  return (method, bytes, error) => {
    const now = clock.monotonic();
    for (const { detail, times } of repeats.expired(now))
      logger.warn("requests could not be decoded again", { ...detail, times });
    const detail = { method, bytes, error };
    if (repeats.note(method, detail, now)) logger.warn("a request could not be decoded", detail);
  };
}
