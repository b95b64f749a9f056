import type { Input } from "../../config/load.ts";
import { isUnanswered } from "../../inspect/fact.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { limitsOf, withSides } from "../volumes/connect.ts";
import { listedSnapshots, readSnapshotWorld, unreadLists } from "./listed.ts";
import { needsLook } from "./model.ts";
import { renderSnapshots, type SnapshotRender } from "./render.ts";
import { type SnapshotSelection, type SnapshotSortKey, selectsSnapshot } from "./select.ts";

export interface SnapshotListOptions {
  readonly output: SnapshotRender["format"];
  readonly selection: SnapshotSelection;
  readonly sort: SnapshotSortKey | undefined;
  /** Exit with code 3 when a selected snapshot is missing or unnamed, with 1 when the cluster was asked and did not answer. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/**
 * `rds-csi snapshots list`: reads both sides, changes nothing. Without an answer of the cluster the RDS's side is listed.
 * @throws the failure of the RDS
 */
export async function runSnapshotsList(
  input: Input,
  { timeoutSeconds, failOnProblems, output: format, selection, sort }: SnapshotListOptions,
  io: Io,
): Promise<number> {
  return withSides(input, { timeoutSeconds }, io, async (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    const world = await readSnapshotWorld(sides, limits).finally(limits.clear);
    const snapshots = listedSnapshots(world);
    const isAsked = isUnanswered(world.pvs) || isUnanswered(world.contents);
    const unknown = isAsked ? unreadLists(world) : [];
    const { columns: width, colour } = io;
    io.out(renderSnapshots(snapshots, { format, now: world.now, width, colour, unknown, selection, sort }));
    if (!failOnProblems) return ExitCode.ok;
    if (snapshots.filter(selectsSnapshot(selection)).some(needsLook)) return ExitCode.problems;
    return unknown.length > 0 ? ExitCode.failure : ExitCode.ok;
  });
}
