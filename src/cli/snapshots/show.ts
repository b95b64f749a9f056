import type { Input } from "../../config/load.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { shortSize } from "../../domain/size.ts";
import { isUnanswered } from "../../inspect/fact.ts";
import { shortens, shownName, type VolumeName } from "../../inspect/resolve.ts";
import { ExitCode } from "../exit-codes.ts";
import type { Io } from "../io.ts";
import { machineText } from "../machine-text.ts";
import { limitsOf, withSides } from "../volumes/connect.ts";
import { aligned, type Row } from "../volumes/record-text.ts";
import { shortAge } from "../volumes/text.ts";
import { listedSnapshots, readSnapshotWorld, type SnapshotWorld, unreadLists } from "./listed.ts";
import { type ListedSnapshot, needsLook, sourceClaim, volumeSnapshots } from "./model.ts";
import { snapshotDocument } from "./render.ts";

export interface SnapshotShowOptions {
  readonly name: VolumeName;
  readonly output: "table" | "json" | "yaml";
  /** Exit with code 3 when it is missing or unnamed, with 1 when the cluster was asked and did not answer. */
  readonly failOnProblems: boolean;
  /** Limit for everything, seconds. */
  readonly timeoutSeconds: number;
}

/** `rds-csi snapshots show`: reads both sides, changes nothing. RouterOS commands as `readSnapshotWorld`. */
export async function runSnapshotsShow(
  input: Input,
  { name, output, failOnProblems, timeoutSeconds }: SnapshotShowOptions,
  io: Io,
): Promise<number> {
  return withSides(input, { timeoutSeconds }, io, async (sides) => {
    const limits = limitsOf(sides, timeoutSeconds, io.stop);
    const world = await readSnapshotWorld(sides, limits).finally(limits.clear);
    const snapshot = resolveSnapshot(name, world, sides.rds.address);
    const head = { apiVersion: "rds-csi/v1", kind: "Snapshot" };
    io.out(
      output === "table"
        ? snapshotText(snapshot, world)
        : machineText({ ...head, ...(snapshotDocument(snapshot) as object) }, output),
    );
    if (!failOnProblems) return ExitCode.ok;
    if (needsLook(snapshot)) return ExitCode.problems;
    return isUnanswered(world.contents) ? ExitCode.failure : ExitCode.ok;
  });
}

/**
 * The snapshot of a name: a handle, a VolumeSnapshotContent, a VolumeSnapshot; else the beginning of exactly one snapshot's names.
 * @throws snapshotNameUnknown, snapshotNameAmbiguous; the failure of a cluster that did not answer and could know the name
 */
export function resolveSnapshot(wanted: VolumeName, world: SnapshotWorld, address: string): ListedSnapshot {
  const all = listedSnapshots(world);
  const shown = shownName(wanted);
  const named = (fits: (name: string) => boolean) =>
    all.filter((each) => namesOf(each, wanted.namespace === undefined).some(fits));
  const exact = named((name) => name === shown);
  const found = exact.length > 0 ? exact : named((name) => shortens(shown, name));
  const [first, second] = found;
  if (first !== undefined && second === undefined) return first;
  if (first !== undefined)
    throw failure("snapshotNameAmbiguous", { name: shown, candidates: found.map(({ handle }) => handle) });
  const { contents } = world;
  if (isUnanswered(contents) && contents.error !== undefined) throw contents.error;
  const looked = [
    `the RDS ${address} has ${world.snapshots.length} snapshots`,
    contents.state === "known"
      ? `the cluster has ${contents.value.length} VolumeSnapshotContents of this driver`
      : contents.state === "absent"
        ? "the cluster has no VolumeSnapshots"
        : `the cluster was not asked (${contents.reason})`,
  ];
  throw failure("snapshotNameUnknown", { name: shown, looked });
}

function namesOf(snapshot: ListedSnapshot, all: boolean): string[] {
  const objects = volumeSnapshots(snapshot);
  const bare = snapshot.contents.flatMap(({ name, snapshot: of }) => [name, of.name]);
  return all ? [snapshot.handle, ...bare, ...objects] : objects;
}

const MEANING = {
  named: "a VolumeSnapshotContent names it",
  unnamed: "no VolumeSnapshotContent names it; the driver never removes it by itself",
  missing: "a VolumeSnapshotContent names it, and no mounted pool of the RDS has it",
  unknown: "whether a VolumeSnapshotContent names it is not known",
} as const;

function snapshotText(snapshot: ListedSnapshot, world: SnapshotWorld): string {
  const { handle, state, source, sizeBytes, content, createdAt, pool, path, contents } = snapshot;
  const age = createdAt && shortAge((world.now - Date.parse(createdAt)) / 1_000);
  const size = sizeBytes === 0n ? "-" : `${shortSize(sizeBytes)} (${sizeBytes} bytes)`;
  const rows: Row[] = [
    ["state", `${state}: ${MEANING[state]}`],
    ["source", source.handle ? `${source.handle}${source.exists ? "" : ", which is gone"}` : "-"],
    ["claim", sourceClaim(snapshot) ?? "-"],
    ["size", size],
    ["holds", content ?? "-"],
    ["created", createdAt === undefined ? "-" : `${createdAt}, ${age} ago`],
    ["pool", pool === undefined ? "-" : `${pool.slot ?? "not mounted"}, label ${pool.label}`],
    ["subvolume", path || "-"],
    ...contents.flatMap((each): Row[] => {
      const { name, snapshot: of, policy, ready, deleting, error } = each;
      const said = [
        `policy ${policy}`,
        ready ? "ready" : "not ready",
        ...(deleting ? ["being deleted"] : []),
      ];
      return [
        ["VolumeSnapshot", `${of.namespace}/${of.name}`],
        ["content", `${name}, ${said.join(", ")}`],
        ...(error === undefined ? [] : [["error", error] as const]),
      ];
    }),
  ];
  const unread = isUnanswered(world.contents) || isUnanswered(world.pvs) ? unreadLists(world) : [];
  const missing = unread.map(({ what, reason }): Row => [what, reason]);
  const notKnown = missing.length === 0 ? "" : `Not known:\n${aligned(missing)}`;
  return `Snapshot ${handle}\n${aligned(rows)}${notKnown}`;
}
