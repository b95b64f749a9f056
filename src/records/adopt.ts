import { FILESYSTEMS, type Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { decodeRecord, encodeChecked } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { isOfEarlierDriver, type VolumeId } from "../domain/volume-id.ts";
import type { AttachmentView, PersistentVolumeView, PodView } from "../kubernetes/port.ts";
import { fileLayoutOf, hasPlainName, nqnOf } from "../rds/layout.ts";
import { classify } from "../rds/volume.ts";
import { earlierSettings } from "./earlier-settings.ts";
import { epochOfNqn, unusedEpoch } from "./epochs.ts";
import type { RecordPlan } from "./plan.ts";
import {
  attachmentsFrom,
  boundPv,
  copyOf,
  fromPv,
  migrationFrom,
  type RecordFacts,
  recordOf,
} from "./rebuild.ts";

/** What is known of a volume of the earlier driver. */
export interface AdoptionFacts extends RecordFacts {
  /** Prefix of the NQNs of this installation. */
  readonly nqnPrefix: string;
  /** The pods that have not ended and use its claim. */
  readonly pods: readonly PodView[];
  /** Slots of other disk items that are exported under the same NQN, e.g. of a snapshot of the earlier driver. */
  readonly twins: readonly string[];
}

/** The first record of a volume, and the changes of its disk item that go with it. */
export interface AdoptionPlan extends RecordPlan {
  /** The export goes off: no node has the volume. */
  readonly switchesOff: boolean;
  /** Whether the disk has fewer bytes than its PersistentVolume. */
  readonly isShort: boolean;
}

/**
 * The first record of a volume that the earlier Go driver made. A node that has it keeps its connection: the record says so, with the name of the
 * export as it is. A volume that no node has is not exported any more.
 * @throws adoptionRefused, recordKept (FAILED_PRECONDITION) saying what is in doubt
 */
export function planAdoption(facts: AdoptionFacts): AdoptionPlan {
  const { handle, disk } = facts;
  requireAdoptable(facts);
  const pv = boundPv(facts);
  const filesystem = requireFilesystem(handle, pv);
  const holders = requireHolders(facts, pv);
  const base = baseOf(facts, pv);
  const attachments = attachmentsFrom({ ...facts, copy: undefined }, holders);
  const told = holders.map(({ metadata }) => metadata.nqn ?? "");
  const traces = { handle, comment: disk.comment, nqns: [disk.nqn, ...told], copy: facts.copy };
  const isAttached = attachments.length > 0;
  const record: VolumeRecord = {
    ...base,
    filesystem: base.filesystem ?? filesystem,
    epoch: unusedEpoch(traces, disk.nqn, facts.now),
    attachments,
    migration: migrationFrom({ ...facts, copy: undefined }, attachments, base.settings),
    ...(isAttached && disk.port !== undefined
      ? { exportName: { nqn: disk.nqn, port: disk.port, hosts: false } }
      : {}),
  };
  const isShort = pv.capacityBytes !== undefined && (disk.size ?? 0n) < pv.capacityBytes;
  return {
    record,
    comment: encodeChecked(handle, record),
    notes: notesOf(facts, pv, record),
    switchesOff: !isAttached && disk.exported,
    isShort,
  };
}

function refuse(volume: VolumeId, reason: string): never {
  throw failure("adoptionRefused", { volume, reason });
}

/** The disk item is just as the earlier driver leaves it. */
function requireAdoptable({ handle, disk, clusterId, twins }: AdoptionFacts): void {
  const found = classify(disk, clusterId);
  if (found?.kind === "volume") refuse(handle, "it has a record, which is in use");
  if (!isOfEarlierDriver(handle))
    refuse(
      handle,
      `the earlier driver has not made it; \`rds-csi volumes record ${handle} --rebuild\` writes a record`,
    );
  if (found?.foreign.cause !== "earlier-driver")
    refuse(handle, found?.foreign.reason ?? "the disk item has another slot");
  if (disk.size === undefined)
    refuse(handle, "the RDS reports no size of it; look whether its pool is mounted");
  if (disk.mounted)
    refuse(
      handle,
      `the RDS itself has mounted its filesystem, at ${disk.mountPoint || "a folder of its own"}; stop what uses the volume, then set mount-filesystem=no on the RDS by hand`,
    );
  if (epochOfNqn(disk.nqn, handle) !== undefined)
    refuse(
      handle,
      `its NQN ${disk.nqn} is of an attachment by this driver; use \`rds-csi volumes record ${handle} --restore\``,
    );
  if (disk.exported && !hasPlainName(disk.nqn, handle))
    refuse(
      handle,
      `it is exported as ${disk.nqn || "no NQN"}, and the earlier driver gives it the NQN …:${handle}`,
    );
  // Its nodes would reconnect to the other disk once its own export is off.
  if (twins.length > 0)
    refuse(
      handle,
      `disk ${twins.join(", ")} is exported under the same NQN ${disk.nqn}, so that a node may be connected to either; switch that export off on the RDS, and look whether the workload still works`,
    );
}

/** @throws adoptionRefused for a filesystem that this driver does not mount */
function requireFilesystem(handle: VolumeId, pv: PersistentVolumeView): Filesystem | undefined {
  if (pv.volumeMode === "Block") return undefined;
  const type = pv.fsType ?? "ext4";
  const known = FILESYSTEMS.find((each) => each === type);
  if (known === undefined)
    refuse(
      handle,
      `PersistentVolume ${pv.name} has the filesystem ${type}, and this driver mounts ${FILESYSTEMS.join(" and ")}; copy its data to a new volume while the earlier driver runs`,
    );
  return known;
}

/** The VolumeAttachments whose node has the volume, or may have it; the first one first. */
function requireHolders(facts: AdoptionFacts, pv: PersistentVolumeView): readonly AttachmentView[] {
  const { handle, disk, attachments, pods, nqnPrefix } = facts;
  const all = attachments
    .filter(({ attached, deleting }) => attached || deleting)
    .toSorted((a, b) => (a.createdAt ?? 0) - (b.createdAt ?? 0));
  const nodes = all.map(({ node }) => node);
  const isShared = pv.volumeMode === "Block" && pv.accessModes.includes("ReadWriteMany");
  if (nodes.length > 2 || (nodes.length === 2 && !isShared))
    refuse(
      handle,
      `nodes ${nodes.join(", ")} have VolumeAttachments for it at the same time, and ${isShared ? "two nodes may have it" : "one node may have it"}; wait until the others are detached`,
    );
  const unknown = pods.find(
    ({ node, phase }) => node !== undefined && phase !== "Pending" && !nodes.includes(node),
  );
  if (unknown !== undefined)
    refuse(
      handle,
      `pod ${unknown.namespace}/${unknown.name} uses it on node ${unknown.node}, which has no VolumeAttachment for it; end the pod, and see that nothing is connected there`,
    );
  for (const { node, metadata } of all) {
    const told = metadata.nqn ?? metadata.nvme_nqn;
    if (told !== undefined && told !== disk.nqn)
      refuse(handle, `node ${node} was told NQN ${told}, and the item has ${disk.nqn || "none"}`);
  }
  if (nodes.length === 0) return [];
  if (disk.port === undefined)
    refuse(handle, `${nodes.join(" and ")} have it, and the item has no NVMe/TCP port`);
  if (disk.nqn !== nqnOf(nqnPrefix, handle, 0))
    refuse(
      handle,
      `${nodes.join(" and ")} have it under NQN ${disk.nqn || "none"}, which is not below --nqn-prefix ${nqnPrefix}; set that for controller and nodes`,
    );
  return all;
}

/** What the record has beside its attachments: of the record that the volume had before, else of the PersistentVolume. */
function baseOf(facts: AdoptionFacts, pv: PersistentVolumeView): VolumeRecord {
  const kept = keptRecord(facts);
  if (kept === undefined) return recordOf(facts, pv, earlierSettings(pv.attributes));
  const { layout: _layout, exportName: _name, ...rest } = kept;
  const layout =
    fileLayoutOf(facts.disk.filePath, facts.handle) === "subvolume" ? { layout: "subvolume" as const } : {};
  const { claim, name } = recordOf(facts, pv, kept.settings);
  return { ...rest, ...layout, claim, name, ended: [], conversion: undefined, reExportSince: undefined };
}

/** The record of a volume that the earlier driver has had again: the item's, or the copy of it. */
function keptRecord(facts: AdoptionFacts): VolumeRecord | undefined {
  const own = decodeRecord(facts.disk.comment);
  return own.kind === "record" ? own.record : copyOf(facts);
}

function notesOf(
  facts: AdoptionFacts,
  pv: PersistentVolumeView,
  { attachments, exportName, migration }: VolumeRecord,
): readonly string[] {
  const { disk } = facts;
  const nodes = attachments.map(({ node }) => node).join(" and ");
  const expected = pv.attributes?.volumePath?.replace(/^\/+/, "");
  return [
    fromPv(pv),
    exportName === undefined
      ? `No node has it: no VolumeAttachment${pv.claim === undefined ? "" : " and no running pod"} says so. The next attach exports it under a new NQN`
      : `Attached to ${nodes}, which ${attachments.length === 1 ? "keeps its connection" : "keep their connections"}: the export stays ${exportName.nqn}`,
    ...(migration === undefined
      ? []
      : [`A live migration is under way; its time of ${migration.timeoutSeconds} s begins now`]),
    ...(exportName !== undefined && !disk.exported
      ? ["Its export is off; the controller switches it on within a minute after it is adopted"]
      : []),
    ...(expected === undefined || expected === disk.filePath
      ? []
      : [
          `Its file is ${disk.filePath}, and PersistentVolume ${pv.name} says ${expected}: the driver goes by the disk item`,
        ]),
    ...(keptRecord(facts) === undefined ? [] : ["It was adopted before, and keeps the settings of then"]),
  ];
}
