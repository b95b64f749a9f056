import { decodeRecord, encodeChecked } from "../domain/record/record-codec.ts";
import type { Conversion, ExportName, VolumeRecord } from "../domain/record/volume-record.ts";
import { isOfEarlierDriver, type VolumeId } from "../domain/volume-id.ts";
import type { AttachmentView } from "../kubernetes/port.ts";
import { conversionSlots } from "../rds/conversion-slots.ts";
import type { Disk } from "../rds/disk.ts";
import { fileLayoutOf, hasPlainName } from "../rds/layout.ts";
import { classify, isRecordOf } from "../rds/volume.ts";
import type { RecordCopy } from "./copy.ts";
import { epochOfNqn, highestEpoch, unusedEpoch } from "./epochs.ts";
import { attachmentsFrom, baseFrom, migrationFrom, type PlanFacts, recordKept } from "./rebuild.ts";

/** What is to be written, and why. */
export interface RecordPlan {
  readonly record: VolumeRecord;
  readonly comment: string;
  /** In the order of interest, each a sentence without full stop. */
  readonly notes: readonly string[];
}

/**
 * Whether the present record may be replaced at all.
 * @param replaceReadable whether a record that can be read may be
 * @throws recordKept (FAILED_PRECONDITION)
 */
export function requireReplaceable({ handle, disk, clusterId }: PlanFacts, replaceReadable: boolean): void {
  const refuse = (reason: string): never => {
    throw recordKept(handle, reason);
  };
  const version = /^rds(\d+)(?:;|$)/.exec(disk.comment)?.[1];
  if (version !== undefined && version !== "1" && version !== "2")
    refuse(`it is of version ${version}, which a newer driver wrote: use that one`);
  const found = classify(disk, clusterId);
  if (found?.kind === "foreign") {
    const { cause, reason } = found.foreign;
    if (cause !== "unreadable" && cause !== "no-record" && cause !== "earlier-driver") refuse(reason);
  }
  if (disk.type !== "file" || fileLayoutOf(disk.filePath, handle) === undefined)
    refuse(`the disk item is not what the driver makes: type ${disk.type}, file ${disk.filePath || "none"}`);
  const { conversion, copy } = found?.kind === "volume" ? found.volume.record : {};
  if (conversion !== undefined)
    refuse(
      `it can be read, and says how far the volume is on its way into a subvolume; \`rds-csi volumes convert ${handle} --yes\` goes on`,
    );
  if (copy !== undefined)
    refuse(
      "it can be read, and says how far a full copy has filled the volume; the CreateVolume of its claim goes on",
    );
  if (found?.kind === "volume" && !replaceReadable)
    refuse("it can be read; --replace-readable replaces it all the same");
}

/**
 * The stage of a volume on its way into a subvolume, for a record of version 2 that cannot be read; undefined for any other record. The volume's own item has all
 * of its data in each stage: in the plain file until the switch, and in the subvolume behind it.
 * @throws recordKept (FAILED_PRECONDITION) when the volume may be an unfinished one, or its stage is in doubt
 */
function stageOf(facts: PlanFacts): Conversion | undefined {
  const { handle, disk, pvs } = facts;
  const [version, ...fields] = disk.comment.split(";");
  if (version !== "rds2") return undefined;
  const refuse = (reason: string): never => {
    throw recordKept(handle, reason);
  };
  const own = `disk item ${handle}`;
  if (fields.some((field) => field.startsWith("k=")))
    refuse(
      `a full copy into the volume was not finished, so that it holds nothing that its source does not hold; if no PersistentVolume names it, \`/disk remove [find where slot=${handle}]\` on the RDS, and its CreateVolume begins anew`,
    );
  const stages = fields.filter((field) => field.startsWith("y=")).map((field) => field.slice(2));
  const nodes = holders(facts).map(({ node }) => node);
  // Nodes use no volume on its way: the version is part of the damage.
  if (nodes.length > 0 && stages.length === 0) return undefined;
  if (nodes.length > 0)
    refuse(
      `it is on its way into a subvolume, and the VolumeAttachments attach ${nodes.join(" and ")}; end what uses the volume, and delete the VolumeAttachment`,
    );
  const stage = fileLayoutOf(disk.filePath, handle) === "subvolume" ? "tidy" : "copy";
  const other = stages.find((each) => each !== stage);
  if (other !== undefined)
    refuse(
      `it says that the volume is on its way into a subvolume, at stage ${JSON.stringify(other)}, and ${own} has the file ${disk.filePath}; compare both with docs/volume-record.md, and remove nothing`,
    );
  if (stages.length === 0 && pvs.length === 0)
    refuse(
      `it is of an unfinished volume, and nothing says any more whether a full copy fills it or it is on its way into a subvolume; if its claim is still waiting for it, \`/disk remove [find where slot=${handle}]\` on the RDS, and its CreateVolume begins anew; else remove nothing`,
    );
  // A copy beside a plain file may be an old one: without its stage the volume is one that does not move, and `volumes convert` refuses beside the copy.
  return stages.length === 0 && stage === "copy" ? undefined : stage;
}

/** The record of a volume at this stage: each call but `volumes convert` is refused, as before the damage. */
function atStage(record: VolumeRecord, stage: Conversion | undefined): VolumeRecord {
  if (stage === undefined) return record;
  return { ...record, conversion: stage, ...(stage === "tidy" ? { layout: "subvolume" } : {}) };
}

function notesOf({ handle, disk }: PlanFacts, stage: Conversion | undefined): readonly string[] {
  if (stage !== undefined)
    return [`On its way into a subvolume: \`rds-csi volumes convert ${handle} --yes\` goes on`];
  if (!disk.comment.startsWith("rds2;")) return [];
  const { fresh } = conversionSlots(handle);
  return [
    `Not on its way into a subvolume any more: it stays in ${disk.filePath}; disk item ${fresh}, if there is one, holds a copy that is not used`,
  ];
}

/**
 * The kept copy, where it agrees with what the cluster has attached.
 * @throws recordKept (FAILED_PRECONDITION) saying why not
 */
export function planRestore(facts: PlanFacts): RecordPlan {
  const { handle, clusterId, copy } = facts;
  const refuse = (reason: string): never => {
    throw recordKept(handle, reason);
  };
  const decoded = copy === undefined ? undefined : decodeRecord(copy.comment);
  if (copy === undefined || decoded?.kind !== "record")
    return refuse("there is no copy of it; --rebuild makes one from the PersistentVolume");
  const { record } = decoded;
  if (!isRecordOf(handle, record))
    refuse(
      `the copy is that of the volume named ${JSON.stringify(record.name)}; --rebuild goes by the PersistentVolume`,
    );
  if (record.cluster !== clusterId)
    refuse(`the copy is of cluster ${record.cluster}, this one is ${clusterId}`);
  const inCopy = record.attachments.map(({ node }) => node).toSorted();
  const inCluster = holders(facts)
    .map(({ node }) => node)
    .toSorted();
  if (inCopy.join() !== inCluster.join()) {
    const list = (nodes: readonly string[]) => nodes.join(" and ") || "no node";
    refuse(
      `the copy of ${copy.seen} attaches ${list(inCopy)}, the VolumeAttachments ${list(inCluster)}; --rebuild goes by the VolumeAttachments`,
    );
  }
  const stage = stageOf(facts);
  const notes = [`From the copy that was kept at ${copy.seen}`, ...notesOf(facts, stage)];
  return finished(facts, atStage(record, stage), notes);
}

/**
 * A record from the PersistentVolume and its VolumeAttachments; what they do not say comes from the kept copy, else from the
 * StorageClass.
 * @throws recordKept (FAILED_PRECONDITION) saying why not
 */
export function planRebuild(facts: PlanFacts): RecordPlan {
  const { base, notes } = baseFrom(facts);
  const attachments = attachmentsFrom(facts, holders(facts));
  const migration = migrationFrom(facts, attachments, base.settings);
  const stage = stageOf(facts);
  const record = atStage({ ...base, attachments, migration }, stage);
  return finished(facts, record, [...notes, ...notesOf(facts, stage)]);
}

/** The VolumeAttachments whose node has the volume, or may still have it while it is being detached. */
function holders({ handle, attachments }: PlanFacts): readonly AttachmentView[] {
  const all = attachments.filter(({ attached, deleting }) => attached || deleting);
  if (all.length > 2) {
    const nodes = all.map(({ node }) => node).join(", ");
    throw recordKept(
      handle,
      `there are ${all.length} VolumeAttachments (${nodes}), and a record has at most two`,
    );
  }
  return all;
}

/** Settles the epoch, which is part of the NQN: that of a running attachment stays, any other is one that was never used. */
function finished(facts: PlanFacts, record: VolumeRecord, notes: readonly string[]): RecordPlan {
  const { handle } = facts;
  const settled =
    record.attachments.length > 0 ? continued(facts, record) : detached(facts, record, facts.disk.nqn);
  const comment = encodeChecked(handle, settled.record);
  return { record: settled.record, comment, notes: [...notes, ...settled.notes] };
}

interface Settled {
  readonly record: VolumeRecord;
  readonly notes: readonly string[];
}

/** Nodes use it under the NQN that the item has: the record must say just that, or the next call would take it from them. */
function continued(facts: PlanFacts, record: VolumeRecord): Settled {
  const { handle, disk, exportIsRight } = facts;
  const nodes = record.attachments.map(({ node }) => node).join(" and ");
  const refuse = (reason: string): never => {
    throw recordKept(
      handle,
      `${reason}; end what uses the volume on ${nodes}, delete the VolumeAttachment, and see that nothing is connected there any more`,
    );
  };
  for (const { node, metadata } of holders(facts)) {
    const { nqn } = metadata;
    if (nqn !== undefined && nqn !== disk.nqn)
      refuse(`${node} was told NQN ${nqn}, and the item has ${disk.nqn || "none"}`);
  }
  const highest = highestEpoch(tracesOf(facts));
  const epoch = epochOfNqn(disk.nqn, handle) ?? highest;
  if (epoch < highest)
    refuse(`the item has the NQN of epoch ${epoch}, and epoch ${highest} has been used since`);
  const next = { ...record, epoch, exportName: nameOf(record, disk, epoch, handle) };
  if (!exportIsRight({ id: handle, record: next, disk: { ...disk, exported: true } }))
    refuse(
      `NQN ${disk.nqn || "none"} and port ${disk.port ?? "none"} of the item are not those of the record`,
    );
  return { record: next, notes: [`Attached to ${nodes}, under epoch ${epoch} as the item has it`] };
}

/** The record's name of the export, unless it is of another epoch: then the one that the item has. */
function nameOf(
  { exportName }: VolumeRecord,
  { nqn, port }: Disk,
  epoch: number,
  handle: VolumeId,
): ExportName | undefined {
  if (exportName !== undefined && epochOfNqn(exportName.nqn, handle) === epoch) return exportName;
  return port === undefined ? undefined : { nqn, port, hosts: false };
}

/** Nobody has it: the next attachment takes the epoch after this one. */
function detached(facts: PlanFacts, record: VolumeRecord, nqn: string): Settled {
  if (isOfEarlierDriver(facts.handle) && facts.disk.exported && hasPlainName(nqn, facts.handle))
    throw recordKept(
      facts.handle,
      `it is exported as ${nqn}, as the earlier driver does it; use \`rds-csi volumes adopt\``,
    );
  const traces = tracesOf(facts);
  const highest = highestEpoch(traces);
  const { handle, now } = facts;
  // The last attachment that left a trace is the record's own. Never 0: reconcile removes a volume that looks as if no node ever had it, and a person who
  // puts a record back has data.
  const isNewest = record.epoch === highest && epochOfNqn(nqn, handle) === highest;
  const isFromCopy = facts.copy !== undefined && record.epoch === decodedEpoch(facts.copy);
  const epoch = isNewest && isFromCopy ? record.epoch : unusedEpoch(traces, nqn, now);
  const exported = facts.disk.exported
    ? [
        "The export is on although no VolumeAttachment says so; it is left as it is, and the next attach replaces it",
      ]
    : [];
  const raised = epoch === record.epoch ? [] : [`Epoch ${epoch}, which no attachment has had`];
  return { record: { ...record, epoch }, notes: ["Attached to no node", ...raised, ...exported] };
}

function decodedEpoch(copy: RecordCopy): number | undefined {
  const decoded = decodeRecord(copy.comment);
  return decoded.kind === "record" ? decoded.record.epoch : undefined;
}

function tracesOf({ handle, disk, copy, attachments }: PlanFacts) {
  const told = attachments.map(({ metadata }) => metadata.nqn ?? "");
  return { handle, comment: disk.comment, nqns: [disk.nqn, ...told], copy };
}
