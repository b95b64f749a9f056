import { printableLines } from "../domain/printable.ts";
import type { Io } from "./io.ts";
import { buildProgram } from "./program.ts";
import { reportError } from "./report-error.ts";

/** Whether the user asked for details, found out even if the configuration is wrong. */
function wantsDebug(args: readonly string[], env: Io["env"]): boolean {
  const at = args.indexOf("--log-level");
  return (at >= 0 ? args[at + 1] : env.RDS_CSI_LOG_LEVEL) === "debug" || args.includes("--log-level=debug");
}

/** Standard error has no colours, so any active character in it is foreign. The writers of standard output make it safe. */
function withSafeErrors(io: Io): Io {
  // Inherited, as columns and rows are asked anew each time.
  return Object.create(io, { err: { value: (text: string) => io.err(printableLines(text)) } }) as Io;
}

/**
 * Runs one command line.
 * @param args without the program's name
 * @returns the exit code
 */
export async function main(args: readonly string[], io: Io): Promise<number> {
  let code = 0;
  try {
    const ran = (given: number) => {
      code = given;
    };
    const program = buildProgram(withSafeErrors(io), ran, args[0]);
    await program.parseAsync([...args], { from: "user" });
    return code;
  } catch (error) {
    const report = reportError(error, wantsDebug(args, io.env), io.stop);
    if (report.text !== "") io.err(report.text);
    return report.code;
  }
}
