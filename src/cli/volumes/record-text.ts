import { printable } from "../../domain/printable.ts";
import { decodeRecord } from "../../domain/record/record-codec.ts";
import type { VolumeRecord, VolumeSettings } from "../../domain/record/volume-record.ts";
import { shortSize } from "../../domain/size.ts";
import type { Fact } from "../../inspect/fact.ts";
import type { ForeignDisk, RdsVolume } from "../../rds/volume.ts";
import type { RecordCopy } from "../../records/copy.ts";
import type { RecordPlan } from "../../records/plan.ts";
import { isoTime } from "./text.ts";

/** A volume's record, and the copy of it. */
export interface ShownRecord {
  readonly found: RdsVolume | ForeignDisk;
  readonly copy: Fact<RecordCopy | undefined>;
}

/** A name and what is said of it. */
export type Row = readonly [name: string, text: string];

/**
 * The record for a person: the comment as it is stored, and what it says.
 * @param hasCluster whether the command can ask Kubernetes, which restoring and rebuilding need
 */
export function recordText({ found, copy }: ShownRecord, hasCluster: boolean): string {
  const { id, disk } = found;
  const exported = disk.exported
    ? `exported on port ${disk.port ?? "none"} as ${disk.nqn || "no NQN"}`
    : "not exported";
  const decoded = decodeRecord(disk.comment);
  const size = disk.size === undefined ? "size not known" : shortSize(disk.size);
  const rows: Row[] = [
    ["file", `${disk.filePath || "none"}, ${size}`],
    ["export", exported],
    ["comment", disk.comment === "" ? "(empty)" : disk.comment],
    ["record", "reason" in found ? found.reason : "can be read"],
    ...(decoded.kind === "record" ? rowsOf(decoded.record) : []),
    ["copy", copyText(copy, disk.comment)],
  ];
  const needs = hasCluster
    ? ""
    : "\nBoth need the cluster: run the command in the controller's pod, or add --orchestrator kubernetes (and --kubeconfig).";
  const advice =
    "cause" in found && (found.cause === "unreadable" || found.cause === "no-record")
      ? `\nTo put it back: rds-csi volumes record ${id} --restore (from the copy), or --rebuild (from the cluster).${needs}\n`
      : "";
  return `Volume ${id}\n${aligned(rows)}${advice}`;
}

function rowsOf(record: VolumeRecord): Row[] {
  const { attachments, migration, settings, claim } = record;
  const attached = attachments.map(
    ({ node, hostNqn, accessMode, accessType, readonly, since, connection = {} }) =>
      [
        `${node} since ${isoTime(since)}, ${accessMode}, ${accessType}${readonly ? ", read-only" : ""}, ${hostNqn}`,
        ...Object.entries(connection)
          .filter(([key, value]) => settings[key as keyof VolumeSettings] !== value)
          .map(([key, value]) => `until its detach ${key}=${value}`),
      ].join(", "),
  );
  const migrating =
    migration === undefined
      ? []
      : [`since ${isoTime(migration.since)}, ${migration.timeoutSeconds} s allowed`];
  const pairs = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  return [
    ["  name", record.name],
    ["  cluster", record.cluster],
    ["  claim", claim === undefined ? "none" : `${claim.namespace}/${claim.name}`],
    ["  created", isoTime(record.createdAt)],
    ...(record.source === undefined ? [] : [["  source", record.source] as const]),
    ["  layout", record.layout ?? "plain"],
    ["  epoch", String(record.epoch)],
    ...attached.map((text): Row => ["  attached", text]),
    ...migrating.map((text): Row => ["  migration", text]),
    ["  settings", pairs.join(" ")],
  ];
}

function copyText(copy: Fact<RecordCopy | undefined>, comment: string): string {
  if (copy.state === "unknown") return `not known: ${copy.reason}`;
  const kept = copy.state === "known" ? copy.value : undefined;
  if (kept === undefined) return "none";
  return kept.comment === comment ? `the same, since ${kept.seen}` : `of ${kept.seen}: ${kept.comment}`;
}

/** What would be written, and why. */
export function planText({ id, disk }: RdsVolume | ForeignDisk, { comment, notes }: RecordPlan): string {
  const rows: Row[] = [
    ["old comment", disk.comment === "" ? "(empty)" : disk.comment],
    ["new comment", comment],
  ];
  const lines = notes.map((note) => `- ${printable(note)}.\n`).join("");
  return `Volume ${id}\n${aligned(rows)}${lines}`;
}

/** Rows beneath each other, indented; nothing active in them. Ends with a newline. */
export function aligned(rows: readonly Row[]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `  ${name.padEnd(width)}  ${printable(value)}\n`).join("");
}

/** The same for programs. */
export function recordDocument({ found, copy }: ShownRecord): object {
  const { id, disk } = found;
  const decoded = decodeRecord(disk.comment);
  const kept = copy.state === "known" ? copy.value : undefined;
  return {
    apiVersion: "rds-csi/v1",
    kind: "VolumeRecord",
    handle: id,
    comment: disk.comment,
    problem: "reason" in found ? found.reason : null,
    record: decoded.kind === "record" ? recordFields(decoded.record) : null,
    nqn: disk.nqn,
    exported: disk.exported,
    copy: kept === undefined ? null : { comment: kept.comment, seen: kept.seen, highestEpoch: kept.epoch },
    copyProblem: copy.state === "unknown" ? copy.reason : null,
  };
}

/** A record fit for JSON, which has no bigint. */
function recordFields({ wantedBytes, unknown, ...record }: VolumeRecord): object {
  const wanted = wantedBytes === undefined ? {} : { wantedBytes: Number(wantedBytes) };
  return { ...record, ...wanted, unknown: Object.fromEntries(unknown) };
}
