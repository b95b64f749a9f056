import { failure } from "../domain/errors/driver-error.ts";
import { clusterToken, decodeSnapshotName, type SnapshotRecord } from "../domain/record/snapshot-record.ts";
import { type SnapshotHandle, type SnapshotId, snapshotHandle } from "../domain/snapshot-id.ts";
import { payload, type Reply } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";
import { parentOf } from "./layout.ts";
import type { Subvolume } from "./subvolume.ts";

/** The last component of a path. */
export function lastOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** Condition of the subvolumes whose last component begins with a snapshot's id. @param label of their filesystem; undefined: any */
export function named(id: SnapshotId, label?: string): Script {
  const name = ros`fullname~${`(^|/)${id}[.]`}`;
  return label === undefined ? name : ros`fs=${label} and ${name}`;
}

/** Statements: put the names of the living subvolumes with a snapshot's id under `names`, whether they are read-only, and the labels of their filesystems. */
export function namesOf(id: SnapshotId, label?: string): Script {
  const get = (property: Script) => ros`[/disk/btrfs/subvolume/get $i ${property}]`;
  const access = ros`:local a ">rw>"; :if (${get(ros`read-only`)} = true) do={ :set a ">ro>" }`;
  const each = ros`:if (${get(ros`dead`)} != true) do={ ${access}; :set names ($names . "|" . ${get(ros`fullname`)} . $a . ${get(ros`fs`)}) }`;
  return ros`:local names ""; :foreach i in=[/disk/btrfs/subvolume/find where ${named(id, label)}] do={ ${each} }; ${payload("names", ros`$names`)}`;
}

const NAME = /^\/*(?<name>[^>]+)>(?<access>ro|rw)>(?<label>.*)$/;

/** The subvolumes that `namesOf` put; undefined: the reply is cut off. */
export function namesIn(reply: Reply): Subvolume[] | undefined {
  const parts = reply.flat("names")?.trim().split("|");
  return parts?.flatMap((part) => {
    const { name, access, label = "" } = NAME.exec(part.trim())?.groups ?? {};
    return name === undefined ? [] : [{ name, label, readOnly: access === "ro", dead: false }];
  });
}

/** A snapshot on the RDS. */
export interface RdsSnapshot {
  readonly record: SnapshotRecord;
  readonly subvolume: Omit<Subvolume, "dead">;
}

/** The CSI handle of a snapshot. */
export function handleOf({ record, subvolume }: RdsSnapshot): SnapshotHandle {
  return snapshotHandle(record.id, subvolume.label);
}

/** Whether a snapshot is one of an installation. @param clusterId undefined: not known, that of any installation counts as ours */
export function isOf(clusterId: string | undefined, { cluster }: SnapshotRecord): boolean {
  return clusterId === undefined || cluster === clusterToken(clusterId);
}

/**
 * The snapshots of this installation with an id, in one folder: at most one, or two while two lines make it at once, of which one removes what
 * it has made.
 * @throws snapshotForeign (FAILED_PRECONDITION) if there is one that is not ours, is elsewhere, or cannot be read
 */
export function ownSnapshots(
  id: SnapshotId,
  listed: readonly Subvolume[],
  clusterId: string | undefined,
): RdsSnapshot[] {
  const alive = listed.filter(({ dead, name }) => !dead && lastOf(name).startsWith(`${id}.`));
  const refuse = (reason: string) => failure("snapshotForeign", { snapshot: id, reason });
  const places = new Set(alive.map(({ label, name }) => `${label}>${parentOf(name)}`));
  if (places.size > 1) throw refuse(`${alive.length} subvolumes have its id`);
  return alive.map((subvolume) => {
    const decoded = decodeSnapshotName(lastOf(subvolume.name));
    if (decoded.kind !== "snapshot") throw refuse("its name cannot be read");
    if (!isOf(clusterId, decoded.record)) throw refuse(`it belongs to cluster ${decoded.record.cluster}`);
    if (!subvolume.readOnly)
      throw refuse("its subvolume is not read-only, so it may have changed since the cut");
    return { record: decoded.record, subvolume };
  });
}

/** The one of `ownSnapshots`; undefined: there is none. @throws rdsBusy (UNAVAILABLE) while there are two */
export function onlySnapshot(id: SnapshotId, all: readonly RdsSnapshot[]): RdsSnapshot | undefined {
  const [only, another] = all;
  if (another === undefined) return only;
  const detail = `${all.length} subvolumes have its id, as commands that make it ran at once`;
  throw failure("rdsBusy", { what: `read snapshot ${id}`, detail });
}
