import { CommanderError } from "commander";
import { ConfigError } from "../config/config-error.ts";
import { DriverError, isFailure } from "../domain/errors/driver-error.ts";
import { printable, printableLines, shortened } from "../domain/printable.ts";
import { sentence } from "../domain/sentence.ts";
import { ExitCode } from "./exit-codes.ts";
import { OutputError, outputErrorText, Stopped } from "./io.ts";

/** Longest text of a defect, in UTF-16 units. */
const MESSAGE_LIMIT = 1_500;

/**
 * The text of an error for people, and the exit code. Errors of the catalogue: the failure, then the remedy.
 * Anything else is a defect. Stacks are for `debug` only.
 * @param stop aborted by a signal; a command that it cancelled has not failed by itself
 * @returns the text has no active characters and ends with a newline, or is empty when everything was said already
 */
export function reportError(
  error: unknown,
  debug: boolean,
  stop?: AbortSignal,
): { text: string; code: ExitCode } {
  // Commander has written its message; --help and the like have code 0.
  if (error instanceof CommanderError) {
    return { text: "", code: error.exitCode === 0 ? ExitCode.ok : ExitCode.usage };
  }
  const stack = debug ? `${printableLines(details(error))}\n` : "";
  if (error instanceof ConfigError) {
    const lines = error.mistakes.map(
      ({ where, problem, remedy }) => `  ${sentence(`${where} ${problem}`)}\n      ${sentence(remedy)}`,
    );
    const count = lines.length === 1 ? "1 mistake" : `${lines.length} mistakes`;
    const text = `rds-csi: ${count} in the ${error.place}:\n${printableLines(lines.join("\n"))}\n`;
    return { text, code: ExitCode.usage };
  }
  if (error instanceof OutputError) {
    return { text: `${outputErrorText(error)}${stack}`, code: ExitCode.failure };
  }
  if (stop?.aborted === true && isByStop(error)) {
    const reason = stop.reason instanceof Stopped ? stop.reason.message : "told to stop";
    return { text: `rds-csi: ${reason} before the command was done.\n${stack}`, code: ExitCode.failure };
  }
  if (error instanceof DriverError) {
    return { text: `rds-csi: ${error.summary}.\n  ${error.commandRemedy}\n${stack}`, code: ExitCode.failure };
  }
  const what = shortened(printable(error instanceof Error ? error.message : String(error)), MESSAGE_LIMIT);
  const hint = debug ? "" : "  Repeat with --log-level debug for details.\n";
  return { text: `rds-csi: ${what}\n${hint}${stack}`, code: ExitCode.failure };
}

/** Whether an error, or one behind it, comes from a signal. */
function isByStop(error: unknown): boolean {
  if (error instanceof Stopped || isFailure(error, "cancelled")) return true;
  return error instanceof Error && (error.name === "AbortError" || isByStop(error.cause));
}

function details(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? "" : `\ncaused by ${details(error.cause)}`;
  return `${error.stack ?? error.message}${cause}`;
}
