import process from "node:process";
import { writeAll } from "../observability/log-sink.ts";
import { ExitCode } from "./exit-codes.ts";

/** The process as a command sees it. Tests give their own. */
export interface Io {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Writes to standard output, synchronously and completely. @throws OutputError */
  out(text: string): void;
  /** Writes to standard error. Text that cannot be written is lost. */
  err(text: string): void;
  /** Whether the reader of standard output has gone, as that of `| head` does: commands that would write for ever end. */
  readonly outputClosed?: boolean;
  /** Columns of the terminal on standard output; undefined when it is none. */
  readonly columns: number | undefined;
  /** Rows of that terminal; undefined when it is none or does not say. */
  readonly rows?: number | undefined;
  /** Whether standard output may be coloured: a terminal, and NO_COLOR (no-color.org) is unset or empty. */
  readonly colour: boolean;
  /** Aborted by SIGTERM or SIGINT. */
  readonly stop: AbortSignal;
}

/** Standard output does not take the result of a command, e.g. because its disk is full. */
export class OutputError extends Error {
  override readonly name = "OutputError";
}

/** The reason of `Io.stop`: a signal. */
export class Stopped extends Error {
  override readonly name = "Stopped";
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
      stop.abort(new Stopped(`received ${signal}`));
    });
  }
  const terminal = process.stdout.isTTY === true;
  let outputClosed = false;
  return {
    env: process.env,
    out: (text) => {
      outputClosed ||= !writeOut(text);
    },
    get outputClosed() {
      return outputClosed;
    },
    err: (text) => void writeAll(2, text),
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

/** Writes to standard output. @returns false if its reader has gone, which is no error @throws OutputError */
export function writeOut(text: string): boolean {
  const error = writeAll(1, text);
  if (error === undefined || error.code === "EPIPE") return error === undefined;
  throw new OutputError(`standard output cannot be written (${error.code})`, { cause: error });
}

/** Prints the whole result of a program that does nothing else. @returns its exit code */
export function printed(text: string): ExitCode {
  try {
    writeOut(text);
    return ExitCode.ok;
  } catch (error) {
    if (!(error instanceof OutputError)) throw error;
    writeAll(2, outputErrorText(error));
    return ExitCode.failure;
  }
}

/** The text of an output error for people. */
export function outputErrorText({ message }: OutputError): string {
  return `rds-csi: ${message}.\n`;
}

/** Resolves once the signal is aborted. */
export function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
