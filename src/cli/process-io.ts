import { Buffer } from "node:buffer";
import { writeSync } from "node:fs";
import process from "node:process";
import { ExitCode } from "./exit-codes.ts";
import type { Io } from "./io.ts";

/** Writes everything before it returns; what goes through process.stdout may be lost at the end of the process. */
function writeAll(descriptor: number, text: string): void {
  let rest = Buffer.from(text, "utf8");
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest));
    } catch (error) {
      const { code } = error as { code?: string };
      if (code === "EPIPE") return; // the reader has seen enough, as with `| head`
      if (code !== "EAGAIN" && code !== "EINTR") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

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
    columns: terminal ? (process.stdout.columns ?? 80) : undefined,
    colour: terminal && (process.env.NO_COLOR ?? "") === "" && process.env.TERM !== "dumb",
    stop: stop.signal,
  };
}
