import { setLogger } from "@grpc/grpc-js";
import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import { Repeats } from "./interceptors/repeats.ts";

/** How long lines of one kind are held back, milliseconds. */
const WINDOW_MS = 60_000;
/** So much of a line says what kind it is; what a caller has put into it comes later. */
const KIND_LENGTH = 24;

/**
 * Takes what grpc-js writes to standard error by itself into the log, one line of a kind per minute: it quotes metadata of callers,
 * which then could act on a terminal or forge lines. For the whole process, as grpc-js has one logger.
 */
export function takeLibraryLog(logger: Logger, clock: Pick<Clock, "monotonic">): void {
  const repeats = new Repeats<string>(WINDOW_MS);
  const take = (...said: unknown[]) => {
    const text = said.map(String).join(" ");
    const now = clock.monotonic();
    for (const { detail, times } of repeats.expired(now))
      logger.warn("grpc-js said again", { text: detail, times });
    if (repeats.note(text.slice(0, KIND_LENGTH), text, now)) logger.warn("grpc-js said", { text });
  };
  setLogger({ error: take, info: take, debug: take });
}
