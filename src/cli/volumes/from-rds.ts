import type { Drift } from "../../controller/drift.ts";
import { drift } from "../../inspect/drift.ts";
import { isOverdue } from "../../migration/deadline.ts";
import type { ForeignDisk, RdsVolume } from "../../rds/volume.ts";
import type { ListedFinding, ListedVolume } from "./model.ts";

const iso = (seconds: number): string => new Date(seconds * 1000).toISOString().replace(".000Z", "Z");

/**
 * A volume of ours as it is listed.
 * @param now milliseconds since the Unix epoch
 */
export function listedVolume({ id, record, disk }: RdsVolume, now: number): ListedVolume {
  const problems: ListedFinding[] = [];
  const { attachments, migration } = record;
  if (disk.size === undefined)
    problems.push(drift("device-not-ready", { text: "the RDS reports no size: the device is not ready" }));
  if (disk.mountFilesystem)
    problems.push(
      drift("mount-filesystem", { text: "mount-filesystem is on: the RDS may mount what a node writes" }),
    );
  if (attachments.length > 0 && !disk.exported)
    problems.push(drift("not-exported", { text: "attached according to its record, but not exported" }));
  if (attachments.length === 0 && disk.exported)
    problems.push(drift("exported-unattached", { text: "exported, but attached to no node" }));
  if (attachments.length > 2)
    problems.push(drift("migration-record", { text: `attached to ${attachments.length} nodes` }));
  const overdue = migration !== undefined && isOverdue(migration, now / 1000);
  const state = migration !== undefined ? "migrating" : attachments.length > 0 ? "attached" : "available";
  return {
    handle: id,
    csiName: record.name,
    state: problems.length > 0 ? "broken" : state,
    sizeBytes: disk.size ?? 0n,
    pvc: record.claim,
    nodes: attachments.map(({ node, since, accessMode, readonly }) => ({
      node,
      since: iso(since),
      accessMode,
      readonly,
    })),
    migration:
      migration === undefined
        ? undefined
        : { since: iso(migration.since), timeoutSeconds: migration.timeoutSeconds, overdue },
    createdAt: record.createdAt > 0 ? iso(record.createdAt) : undefined,
    nqn: disk.nqn,
    exported: disk.exported,
    path: disk.filePath,
    findings: overdue
      ? [...problems, drift("migration-overdue", { text: "its migration takes longer than allowed" })]
      : problems,
  };
}

/** A disk that has a slot like ours and is not ours. */
export function listedForeign({ id, disk, reason }: ForeignDisk): ListedVolume {
  return {
    handle: id,
    csiName: "",
    state: "foreign",
    sizeBytes: disk.size ?? 0n,
    pvc: undefined,
    nodes: [],
    migration: undefined,
    createdAt: undefined,
    nqn: disk.nqn,
    exported: disk.exported,
    path: disk.filePath,
    findings: [drift("foreign-disk", { text: reason })],
  };
}

/** Adds what the cluster says otherwise. */
function withDrift(listed: ListedVolume, drifts: readonly Drift[]): ListedVolume {
  const found = drifts
    .filter(({ volume }) => volume.id === listed.handle)
    .map(({ kind: id, text, node }) => ({ id, severity: "error" as const, text, node, remedy: "" }));
  return found.length === 0 ? listed : { ...listed, findings: [...listed.findings, ...found] };
}

/** Everything that an RDS holds, sorted by handle. */
export function listedVolumes(
  found: { readonly volumes: readonly RdsVolume[]; readonly foreign: readonly ForeignDisk[] },
  now: number,
  drifts: readonly Drift[] = [],
): ListedVolume[] {
  const all = [
    ...found.volumes.map((volume) => withDrift(listedVolume(volume, now), drifts)),
    ...found.foreign.map(listedForeign),
  ];
  return all.sort((a, b) => (a.handle < b.handle ? -1 : a.handle > b.handle ? 1 : 0));
}
