import process from "node:process";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";
import { writeAll } from "./write-all.ts";

/**
 * This process. The first SIGTERM or SIGINT aborts `stop`; a second one ends the process at once, so that an operator
 * is never held by work that does not end.
 */
export function processIo(): Io {
  const stop = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(ExitCode.failure);
      stop.abort(new Error(`received ${signal}`));
    });
  }
  const terminal = process.stdout.isTTY === true;
  return {
    env: process.env,
    out: (text) => writeAll(1, text),
    err: (text) => writeAll(2, text),
    // Asked each time, as the terminal may be resized.
    get columns() {
      return terminal ? (process.stdout.columns ?? 80) : undefined;
    },
    get rows() {
      return terminal ? process.stdout.rows : undefined;
    },
    colour: terminal && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
    stop: stop.signal,
  };
}
