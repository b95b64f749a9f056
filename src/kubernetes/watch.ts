import type { Buffer } from "node:buffer";
import { StringDecoder } from "node:string_decoder";
import type { Clock } from "../domain/clock.ts";
import { USER_AGENT } from "./api.ts";
import { ApiStatusError } from "./api-error.ts";
import { DeadlineError } from "./deadline.ts";
import type { ApiTransport } from "./transport.ts";

/** Metadata that every object of the API carries; the rest depends on its kind. */
export interface RawObject {
  readonly metadata?: { readonly name?: string; readonly resourceVersion?: string };
}

export interface WatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: RawObject;
}

export interface WatchOptions {
  /** Path of the collection, e.g. /apis/storage.k8s.io/v1/volumeattachments. */
  readonly path: string;
  /** Where to resume. */
  readonly resourceVersion: string;
  /** After so long the API server ends the watch, and the caller resumes it: whole seconds. */
  readonly timeoutSeconds: number;
  /** A connection on which nothing comes for so long is taken for dead. The API server sends bookmarks each minute. */
  readonly silenceMs: number;
  readonly accept: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** The API server has accepted the watch. */
  readonly onOpen: () => void;
  readonly onEvent: (event: WatchEvent) => void;
}

const MAX_LINE_BYTES = 16 * 1024 * 1024;

/**
 * One watch connection. Resolves when the API server ends it regularly.
 * @throws ApiStatusError, also for an ERROR event (410: the resource version is too old, list again); DeadlineError
 *   after a silence; the network's error; the abort reason
 */
export async function watchOnce(transport: ApiTransport, options: WatchOptions): Promise<void> {
  const own = new AbortController();
  const forward = () => own.abort(options.signal.reason);
  options.signal.throwIfAborted();
  options.signal.addEventListener("abort", forward, { once: true });
  const silence = silenceTimer(options.clock, options.silenceMs, () =>
    own.abort(new DeadlineError(options.silenceMs)),
  );
  try {
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: options.resourceVersion,
      timeoutSeconds: String(options.timeoutSeconds),
    });
    const response = await transport.send({
      method: "GET",
      path: `${options.path}?${query}`,
      headers: { Accept: options.accept, "User-Agent": USER_AGENT },
      signal: own.signal,
    });
    if (response.status !== 200)
      throw new ApiStatusError(response.status, await response.text(), response.headers);
    options.onOpen();
    const lines = lineSplitter((line) => options.onEvent(parseEvent(line)));
    await response.read((chunk) => {
      silence.reset();
      lines(chunk);
    });
  } finally {
    silence.stop();
    options.signal.removeEventListener("abort", forward);
    // Ends the connection if it is still open.
    own.abort();
  }
}

function parseEvent(line: string): WatchEvent {
  const event = JSON.parse(line) as { type?: unknown; object?: { code?: unknown } & RawObject };
  switch (event.type) {
    case "ADDED":
    case "MODIFIED":
    case "DELETED":
    case "BOOKMARK":
      if (typeof event.object?.metadata?.resourceVersion !== "string")
        throw new Error(`a watch event of type ${event.type} has no resourceVersion`);
      return { type: event.type, object: event.object };
    case "ERROR":
      throw new ApiStatusError(Number(event.object?.code ?? 500), JSON.stringify(event.object), {});
    default:
      throw new Error(`a watch event has the unknown type ${JSON.stringify(event.type)}`);
  }
}

/** Calls back for each complete line, however the chunks cut them, also within a character. */
export function lineSplitter(onLine: (line: string) => void): (chunk: Buffer) => void {
  const decoder = new StringDecoder("utf8");
  let rest = "";
  return (chunk) => {
    const text = decoder.write(chunk);
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      const line = rest + text.slice(start, end);
      rest = "";
      start = end + 1;
      if (line.trim() !== "") onLine(line);
    }
    rest += text.slice(start);
    if (rest.length > MAX_LINE_BYTES) throw new Error(`a watch event is larger than ${MAX_LINE_BYTES} bytes`);
  };
}

/** Calls `onSilence` once when `reset` was not called for `ms`. One timer at a time, however often it is reset. */
function silenceTimer(clock: Clock, ms: number, onSilence: () => void) {
  let last = clock.monotonic();
  const stopped = new AbortController();
  const run = async () => {
    for (;;) {
      const left = last + ms - clock.monotonic();
      if (left <= 0) return onSilence();
      await clock.sleep(left, stopped.signal);
    }
  };
  run().catch(() => {});
  return {
    reset: () => {
      last = clock.monotonic();
    },
    stop: () => stopped.abort(),
  };
}
