import { setLogger } from "@grpc/grpc-js";
import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import { Repeats } from "./interceptors/repeats.ts";

/** How long lines of one kind are held back, milliseconds. */
const WINDOW_MS = 60_000;
/** Length of the start of a line that names its kind; text of callers comes later. */
const KIND_LENGTH = 24;

type Warn = (kind: string, fields: Readonly<Record<string, unknown>>) => void;

/** Warns once per kind and minute; the next line of the kind says how often it was held back. */
function sparingly(logger: Logger, clock: Pick<Clock, "monotonic">, message: string, again: string): Warn {
  const repeats = new Repeats<Readonly<Record<string, unknown>>>(WINDOW_MS);
  return (kind, fields) => {
    const now = clock.monotonic();
    for (const { detail, times } of repeats.expired(now)) logger.warn(again, { ...detail, times });
    if (repeats.note(kind, fields, now)) logger.warn(message, fields);
  };
}

/**
 * Takes the lines that grpc-js writes to standard error into the log: they quote metadata of callers, which could act on a terminal or
 * forge lines. For the whole process, as grpc-js has one logger.
 */
export function takeLibraryLog(logger: Logger, clock: Pick<Clock, "monotonic">): void {
  const warn = sparingly(logger, clock, "grpc-js said", "grpc-js said again");
  const take = (...said: unknown[]) => {
    const text = said.map(String).join(" ");
    warn(text.slice(0, KIND_LENGTH), { text });
  };
  setLogger({ error: take, info: take, debug: take });
}

/** Hears of a request that is no message of its RPC. @param bytes length of the request */
export type OnUndecodable = (method: string, bytes: number, error: unknown) => void;

/**
 * Logs requests that cannot be decoded: grpc-js answers them with INTERNAL before an interceptor sees the call.
 */
export function logUndecodable(logger: Logger, clock: Pick<Clock, "monotonic">): OnUndecodable {
  const warn = sparingly(
    logger,
    clock,
    "a request could not be decoded",
    "requests could not be decoded again",
  );
  return (method, bytes, error) => warn(method, { method, bytes, error });
}
