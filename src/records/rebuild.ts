import { readParameters } from "../controller/parameters.ts";
import type { AccessMode } from "../domain/access-mode.ts";
import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import {
  type Attachment,
  DEFAULT_SETTINGS,
  type Migration,
  type VolumeRecord,
  type VolumeSettings,
} from "../domain/record/volume-record.ts";
import { isOfEarlierDriver, type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { StorageClassView } from "../kubernetes/inspector.ts";
import type { AttachmentView, PersistentVolumeView } from "../kubernetes/port.ts";
import type { Disk } from "../rds/disk.ts";
import { fileLayoutOf } from "../rds/layout.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { isRecordOf } from "../rds/volume.ts";
import type { RecordCopy } from "./copy.ts";

/** What is known of a volume whose record is to be put back, or made. */
export interface RecordFacts {
  readonly handle: VolumeId;
  /** The disk item as read; its comment is what is compared when the record is written. */
  readonly disk: Disk;
  readonly clusterId: string;
  /** Seconds since the Unix epoch. */
  readonly now: number;
  readonly copy: RecordCopy | undefined;
  /** PersistentVolumes with this handle. */
  readonly pvs: readonly PersistentVolumeView[];
  /** Their VolumeAttachments. */
  readonly attachments: readonly AttachmentView[];
}

/** What is known of a volume whose record is to be put back. */
export interface PlanFacts extends RecordFacts {
  readonly storageClass: StorageClassView | undefined;
  /** Whether NQN, port and allowed hosts of an exported item are those of its record. */
  readonly exportIsRight: (volume: RdsVolume) => boolean;
}

/** @param reason why no new record is made */
export function recordKept(volume: VolumeId, reason: string): DriverError {
  return failure("recordKept", { volume, reason });
}

/** What the sidecars make of a PersistentVolume's access modes, as the driver offers SINGLE_NODE_MULTI_WRITER. */
const MODES: Readonly<Record<string, AccessMode>> = {
  ReadWriteOnce: "SINGLE_NODE_MULTI_WRITER",
  ReadWriteOncePod: "SINGLE_NODE_SINGLE_WRITER",
  ReadWriteMany: "MULTI_NODE_MULTI_WRITER",
};

/** Everything of a record but who has the volume, and where it came from. */
export function baseFrom(facts: PlanFacts): {
  readonly base: VolumeRecord;
  readonly notes: readonly string[];
} {
  const { handle } = facts;
  const pv = boundPv(facts);
  const kept = copyOf(facts);
  if (kept !== undefined) {
    const notes = [
      `Claim, name and settings from the copy that was kept at ${facts.copy?.seen}, attachments from the VolumeAttachments of PersistentVolume ${pv.name}`,
    ];
    return { base: { ...kept, ended: [], reExportSince: undefined }, notes };
  }
  if (isOfEarlierDriver(handle))
    throw recordKept(handle, "there is no copy of it; `rds-csi volumes adopt` makes its first one");
  if (volumeIdFromName(pv.name) !== handle)
    throw recordKept(
      handle,
      `its CSI name is not known: there is no copy, and the handle is not made from the PersistentVolume's name ${pv.name}`,
    );
  const { settings, note } = settingsFrom(facts);
  const notes = [fromPv(pv), note];
  return { base: recordOf(facts, pv, settings), notes };
}

/** The note that names the source of a record. */
export function fromPv({ name }: PersistentVolumeView): string {
  return `From PersistentVolume ${name} and its VolumeAttachments`;
}

/** A record of what a PersistentVolume says; without attachments. */
export function recordOf(
  { clusterId, disk, handle, now }: RecordFacts,
  { name, claim, createdAt }: PersistentVolumeView,
  settings: VolumeSettings,
): VolumeRecord {
  return {
    name,
    cluster: clusterId,
    claim: claim && { namespace: claim.namespace, name: claim.name },
    createdAt: createdAt === undefined ? now : Math.floor(createdAt / 1_000),
    source: undefined,
    ...(fileLayoutOf(disk.filePath, handle) === "subvolume" ? { layout: "subvolume" } : {}),
    filesystem: undefined,
    epoch: 0,
    attachments: [],
    migration: undefined,
    ended: [],
    settings,
    unknown: [],
  };
}

/** The attachments that the VolumeAttachments tell of; what the copy knows of the same node is taken from there. */
export function attachmentsFrom(
  facts: RecordFacts,
  holders: readonly AttachmentView[],
): readonly Attachment[] {
  const kept = copyOf(facts)?.attachments ?? [];
  const made = holders.map(({ node, metadata }): Attachment => {
    const known = kept.find((each) => each.node === node);
    if (known !== undefined) return known;
    const pv = boundPv(facts);
    return {
      node,
      hostNqn: metadata.hostNqn ?? hostIdentity(facts.clusterId, node).hostNqn,
      accessMode: modeOf(facts, pv),
      accessType: pv.volumeMode === "Block" ? "block" : "mount",
      readonly: pv.readOnly === true,
      since: facts.now,
    };
  });
  // Their order is that of attaching: who is in the copy was there first.
  const place = ({ node }: Attachment): number => {
    const index = kept.findIndex((each) => each.node === node);
    return index < 0 ? kept.length : index;
  };
  return made.toSorted((a, b) => place(a) - place(b));
}

/** Two nodes are a migration; its time is counted anew unless the copy knows it. */
export function migrationFrom(
  facts: RecordFacts,
  attachments: readonly Attachment[],
  { migrationTimeoutSeconds }: VolumeSettings,
): Migration | undefined {
  if (attachments.length < 2) return undefined;
  const kept = copyOf(facts);
  if (kept?.migration !== undefined && attachments.every((each) => kept.attachments.includes(each)))
    return kept.migration;
  const timeoutSeconds = migrationTimeoutSeconds === "auto" ? 0 : migrationTimeoutSeconds;
  return { since: facts.now, timeoutSeconds, by: "", overdueBy: undefined };
}

/** The PersistentVolume of a volume. @throws recordKept when no PersistentVolume names the volume, or several do */
export function boundPv({ handle, pvs }: RecordFacts): PersistentVolumeView {
  const bound = pvs.filter(({ phase }) => phase === "Bound");
  const [pv, second] = bound.length > 0 ? bound : pvs;
  if (pv === undefined) throw recordKept(handle, "no PersistentVolume of this cluster names it");
  if (second !== undefined) {
    const names = `${pv.name} and ${second.name}`;
    throw recordKept(handle, `PersistentVolumes ${names} name it`);
  }
  return pv;
}

function modeOf({ handle }: RecordFacts, { name, accessModes }: PersistentVolumeView): AccessMode {
  const [only, second] = accessModes;
  const mode = only === undefined || second !== undefined ? undefined : MODES[only];
  if (mode === undefined)
    throw recordKept(
      handle,
      `PersistentVolume ${name} has the access modes ${accessModes.join(", ") || "none"}, so that the mode of the attachment is not known`,
    );
  return mode;
}

function settingsFrom({ storageClass, pvs }: PlanFacts): {
  readonly settings: VolumeSettings;
  readonly note: string;
} {
  if (storageClass === undefined) {
    const name = pvs[0]?.storageClass;
    const which = name === undefined ? "no StorageClass" : `StorageClass ${name}, which is gone`;
    return { settings: DEFAULT_SETTINGS, note: `Settings are the defaults: the volume has ${which}` };
  }
  const { settings } = readParameters(storageClass.parameters);
  return { settings, note: `Settings from StorageClass ${storageClass.name}, as it is today` };
}

/** The kept record, if it is of this cluster and of this volume. */
export function copyOf({ copy, clusterId, handle }: RecordFacts): VolumeRecord | undefined {
  const decoded = copy === undefined ? undefined : decodeRecord(copy.comment);
  if (decoded?.kind !== "record" || !isRecordOf(handle, decoded.record)) return undefined;
  return decoded.record.cluster === clusterId ? decoded.record : undefined;
}
