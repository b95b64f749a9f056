import type { Input } from "../../config/load.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { limitsOf, readWorld, withSides } from "./connect.ts";
import { listedVolumes, unansweredLists } from "./listed.ts";
import { hasProblem } from "./model.ts";
import { type OutputFormat, renderVolumes } from "./render.ts";
import { ALL, type Choice, selects } from "./select.ts";

export interface ListOptions extends Choice {
  readonly output: OutputFormat;
  /** Exit with code 3 when a selected volume has a problem, with 1 when none has and a side that was asked did not answer. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi volumes list`: reads both sides, changes nothing. Without an answer of the cluster the RDS's side is listed.
 * @throws the failure of the RDS
 */
export async function runVolumesList(input: Input, options: ListOptions, io: Io): Promise<number> {
  const { timeoutSeconds, failOnProblems, output: format, selection = ALL, sort } = options;
  return withSides(input, { timeoutSeconds }, io, async (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    // The table has no room for them.
    const withSnapshots = format !== "table";
    const world = await readWorld(sides, limits, withSnapshots).finally(limits.clear);
    if (world.survey.state === "unknown") throw world.survey.error;
    const volumes = listedVolumes(world);
    const unknown = unansweredLists(world);
    const { columns: width, colour } = io;
    io.out(renderVolumes(volumes, { format, now: world.now, width, colour, unknown, selection, sort }));
    if (!failOnProblems) return ExitCode.ok;
    if (volumes.filter(selects(selection)).some(hasProblem)) return ExitCode.problems;
    // A check that could not look has not passed.
    return unknown.length > 0 ? ExitCode.failure : ExitCode.ok;
  });
}
