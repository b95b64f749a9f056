import type { VolumeFindingId } from "./catalogue.ts";
import { type Finding, sentenceOf } from "./finding.ts";

/**
 * How bad a trouble is. `degraded`: usable, with something missing or endangered; `inaccessible`: reads or writes cannot work now;
 * `data-loss`: data is proven to be gone. Source: CSI specification 1.13, VolumeHealthErrorType.
 */
export type HealthStatus = "degraded" | "inaccessible" | "data-loss";

/** One trouble of a volume, for programs and for people. Status and reason together are unique in a volume. */
export interface HealthEntry {
  readonly status: HealthStatus;
  /** One word in CamelCase, stable. */
  readonly reason: string;
  readonly message: string;
}

/** CSI VolumeCondition, up to CSI 1.12. */
export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

type Rating = Pick<HealthEntry, "status" | "reason"> | { readonly notHealth: string };

const degraded = (reason: string): Rating => ({ status: "degraded", reason });
const inaccessible = (reason: string): Rating => ({ status: "inaccessible", reason });
const dataLoss = (reason: string): Rating => ({ status: "data-loss", reason });
/** A finding that says nothing about whether the volume's data can be read and written. @param why for the reader of this table */
const notHealth = (why: string): Rating => ({ notHealth: why });

const OBJECTS = "objects of Kubernetes are to be put in order; the data is well";
const CLEARED = "an attachment is left over and is cleared; the data is well";

/**
 * What each finding about a volume says about its health. From the controller `inaccessible` means: from every node. So a fault that
 * keeps one node out is `degraded`, and the node itself says `inaccessible`.
 */
export const VOLUME_RATINGS: Readonly<Record<VolumeFindingId, Rating>> = {
  "pool-not-mounted": inaccessible("PoolNotMounted"),
  // Its file may still be there.
  "volume-missing": inaccessible("DiskItemMissing"),
  "volume-converting": notHealth("it is moved on purpose, and attached to no node; the data is well"),
  // What is attached goes on; nothing can be attached or detached.
  "record-unusable": degraded("RecordUnusable"),
  "foreign-disk": notHealth("no volume of this installation"),
  "file-missing": dataLoss("FileMissing"),
  "pool-degraded": degraded("PoolDegraded"),
  "pool-filling": degraded("PoolFilling"),
  "file-owner-unknown": notHealth("a file without a volume"),
  "file-left": notHealth("a file without a volume"),
  "device-not-ready": inaccessible("DeviceNotReady"),
  "not-exported": inaccessible("ExportOff"),
  "re-export-interrupted": inaccessible("ExpansionInterrupted"),
  "exported-unattached": degraded("ExportedUnattached"),
  "export-nqn": inaccessible("ExportNqnChanged"),
  "export-port": inaccessible("ExportPortChanged"),
  // What the list does on a device is not known for certain.
  "allowed-hosts": degraded("AllowedHostsChanged"),
  "record-host-nqn": notHealth("it counts only for the next attachment"),
  "size-file-disk": degraded("FileSizeChanged"),
  "mount-filesystem": degraded("MountedByStorage"),
  "attached-nqn": degraded("NodeHasOldNqn"),
  "attached-port": degraded("NodeHasOldPort"),
  "attached-host-nqn": degraded("NodeHasOldHostNqn"),
  "node-gone": notHealth(CLEARED),
  "attachment-without-pv": notHealth(OBJECTS),
  "attachment-without-va": notHealth(CLEARED),
  "va-without-attachment": degraded("AttachmentLost"),
  "va-error": notHealth("the failed call says it, and is repeated"),
  "pod-without-attachment": degraded("PodWithoutAttachment"),
  "attachment-without-pod": notHealth("it is being detached"),
  "volume-mode": degraded("VolumeModeChanged"),
  "access-mode": notHealth(OBJECTS),
  // Whether the end held data is not known: a PersistentVolume made by hand may say anything.
  "size-below-pv": degraded("SizeBelowPersistentVolume"),
  "size-above-pv": notHealth("larger than promised"),
  "attached-size": degraded("DiskShrank"),
  "expansion-pending": notHealth("an expansion runs"),
  "pv-missing": notHealth(OBJECTS),
  "pv-ambiguous": notHealth(OBJECTS),
  "pv-released": notHealth(OBJECTS),
  "pv-deleting": notHealth(OBJECTS),
  "claim-ref": notHealth(OBJECTS),
  "claim-missing": notHealth(OBJECTS),
  "claim-replaced": notHealth(OBJECTS),
  "claim-lost": notHealth(OBJECTS),
  "migration-overdue": notHealth("about the migration; the events on the claim say it"),
  "migration-record": degraded("AttachmentsInconsistent"),
  "migration-ended": notHealth("about the migration; the node that is left is detached"),
  "not-reconciled": notHealth("nothing was found out"),
};

/** What each fault that a node sees says about the health of a volume on this node. */
export const NODE_RATINGS = {
  "device-vanished": inaccessible("DeviceVanished"),
  "no-namespace": inaccessible("NamespaceMissing"),
  "not-live": inaccessible("ConnectionNotLive"),
  "other-device": inaccessible("OtherDevice"),
  "not-mounted": inaccessible("NotMounted"),
  "not-answering": inaccessible("FilesystemNotAnswering"),
  // Both can be read.
  "filesystem-errors": degraded("FilesystemErrors"),
  "read-only": degraded("FilesystemReadOnly"),
} as const satisfies Readonly<Record<string, Rating>>;

/** Why a volume is abnormal on a node. */
export type ConditionCause = keyof typeof NODE_RATINGS;

/** The health that findings about a volume make, in their order. Empty: nothing adverse is known. */
export function healthOfFindings(
  findings: readonly Pick<Finding<VolumeFindingId>, "id" | "evidence" | "remedy">[],
): readonly HealthEntry[] {
  return joined(
    findings.map(({ id, remedy, evidence }) => [
      VOLUME_RATINGS[id],
      `${sentenceOf({ evidence })}. ${remedy}`,
    ]),
  );
}

/** The health that faults on a node make. */
export function healthOfFaults(
  faults: readonly { readonly cause: ConditionCause; readonly message: string }[],
): readonly HealthEntry[] {
  return joined(faults.map(({ cause, message }) => [NODE_RATINGS[cause], message]));
}

/** The same as VolumeCondition: every trouble makes it abnormal. */
export function conditionOf(health: readonly HealthEntry[]): VolumeCondition {
  if (health.length === 0) return NORMAL;
  return { abnormal: true, message: health.map(({ message }) => message).join("; ") };
}

const NORMAL: VolumeCondition = { abnormal: false, message: "nothing adverse is known of the volume" };

/** One entry for each status and reason, with all their messages. */
function joined(rated: readonly (readonly [Rating, string])[]): readonly HealthEntry[] {
  const entries = new Map<string, HealthEntry>();
  for (const [rating, message] of rated) {
    if ("notHealth" in rating) continue;
    const { status, reason } = rating;
    const before = entries.get(`${status} ${reason}`);
    if (before?.message.split("; ").includes(message)) continue;
    const text = before === undefined ? message : `${before.message}; ${message}`;
    entries.set(`${status} ${reason}`, { status, reason, message: text });
  }
  return [...entries.values()];
}
