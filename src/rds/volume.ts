import { isClusterUid, PLAIN_CLUSTER_ID } from "../domain/cluster-id.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { isOfEarlierDriver, parseVolumeId, type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import { fileLayoutOf, hasPlainName } from "./layout.ts";

/**
 * Whether a record is that of a volume, by the name from which the volume's id was made. An adopted volume keeps the slot of its earlier
 * driver, which says nothing of its name.
 */
export function isRecordOf(id: VolumeId, { name }: VolumeRecord): boolean {
  return isOfEarlierDriver(id) || volumeIdFromName(name) === id;
}

/** A disk of ours: our slot pattern, a readable record of this installation. */
export interface RdsVolume {
  readonly id: VolumeId;
  readonly record: VolumeRecord;
  /** The disk item as read, for compare-and-set and for its properties. */
  readonly disk: Disk;
}

/**
 * Why a disk with our slot pattern is no volume of ours:
 * - `other-cluster`: a readable record names another installation. Only this proves that it is not ours.
 * - `former-id`: a readable record names the id that every installation had before the cluster's UID became the id, and this
 *   one uses the UID: it may be ours.
 * - `unreadable`: it has a record that cannot be read here, or that of another volume: it may be ours.
 * - `no-record`: the comment is no record, e.g. emptied by hand: it may be ours.
 * - `earlier-driver`: the earlier Go driver made it, and no record of ours says who has it: it is to be adopted first.
 * - `misplaced`: the record is ours, and the disk is not one that the driver makes.
 */
export type ForeignCause =
  | "other-cluster"
  | "former-id"
  | "unreadable"
  | "no-record"
  | "earlier-driver"
  | "misplaced";

/** A disk with our slot pattern that must not be changed. */
export interface ForeignDisk {
  readonly id: VolumeId;
  readonly disk: Disk;
  readonly cause: ForeignCause;
  readonly reason: string;
}

/** A disk item as this installation sees it. */
export type Classified =
  | { readonly kind: "volume"; readonly volume: RdsVolume }
  | { readonly kind: "foreign"; readonly foreign: ForeignDisk };

/**
 * Sorts a disk item into ours, foreign, or none of our business (undefined).
 * @param clusterId undefined: not known, the record of any installation counts as ours
 */
export function classify(disk: Disk, clusterId: string | undefined): Classified | undefined {
  const id = parseVolumeId(disk.slot);
  if (id === undefined) return undefined;
  const foreign = (cause: ForeignCause, reason: string): Classified => ({
    kind: "foreign",
    foreign: { id, disk, cause, reason },
  });
  const decoded = decodeRecord(disk.comment);
  if (decoded.kind === "record" && clusterId !== undefined && decoded.record.cluster !== clusterId) {
    const { cluster } = decoded.record;
    return cluster === PLAIN_CLUSTER_ID && isClusterUid(clusterId)
      ? foreign("former-id", formerIdReason(clusterId))
      : foreign("other-cluster", `it belongs to cluster ${cluster}`);
  }
  if (disk.type !== "file")
    return foreign("misplaced", `it is of type ${disk.type || "unknown"}, not a file`);
  const hasOwnFile = fileLayoutOf(disk.filePath, id) !== undefined;
  if (decoded.kind === "foreign" && hasOwnFile && isOfEarlierDriver(id))
    return foreign("earlier-driver", "the earlier driver made it, and it has no record yet");
  if (decoded.kind === "foreign") return foreign("no-record", "its comment holds no record of this driver");
  if (decoded.kind === "unreadable")
    return foreign("unreadable", `its record cannot be read: ${decoded.reason}`);
  // Its own record was overwritten.
  if (!isRecordOf(id, decoded.record))
    return foreign(
      "unreadable",
      `its record is that of the volume named ${JSON.stringify(decoded.record.name)}`,
    );
  if (!hasOwnFile) return foreign("misplaced", `its file ${disk.filePath} is not named after it`);
  if (isTakenBack(id, decoded.record, disk))
    return foreign(
      "earlier-driver",
      `its record attaches no node, and it is exported as ${disk.nqn}, as the earlier driver does it`,
    );
  return { kind: "volume", volume: { id, record: decoded.record, disk } };
}

/**
 * Whether the earlier driver may have had the volume again since it was adopted: that driver exports every volume under the plain name, and
 * asks for no record. This one exports a volume only while its record attaches a node.
 */
function isTakenBack(id: VolumeId, { attachments }: VolumeRecord, { exported, nqn }: Disk): boolean {
  return isOfEarlierDriver(id) && attachments.length === 0 && exported && hasPlainName(nqn, id);
}

/** The volume that a change of its record left. @throws notVerified (UNAVAILABLE) if its record cannot be read back */
export function writtenVolume(disk: Disk, clusterId: string | undefined, what: string): RdsVolume {
  const classified = classify(disk, clusterId);
  if (classified?.kind === "volume") return classified.volume;
  throw failure("notVerified", { what, detail: "the record is not readable" });
}

function formerIdReason(clusterId: string): string {
  return `it belongs to cluster ${PLAIN_CLUSTER_ID}, and this one is ${clusterId}; if this installation made it, set cluster-id: ${PLAIN_CLUSTER_ID} for controller and nodes`;
}

/**
 * The volume if it is ours; undefined if it is proven that it is not: the RDS has no such item, or one with a readable record
 * of another installation.
 * @throws recordUnusable, volumeNotAdopted, foreignDisk (FAILED_PRECONDITION): it may be ours, and nothing can be said about it
 */
export function ownVolume(found: Classified | undefined): RdsVolume | undefined {
  if (found?.kind !== "foreign") return found?.volume;
  const { id, cause, reason } = found.foreign;
  if (cause === "other-cluster") return undefined;
  if (mayHoldRecord(found.foreign)) throw failure("recordUnusable", { volume: id, reason });
  if (cause === "earlier-driver") throw failure("volumeNotAdopted", { volume: id, reason });
  throw failure("foreignDisk", { slot: id, reason });
}

/** As ownVolume, for a call that needs the volume. @throws volumeNotFound (NOT_FOUND), and as ownVolume */
export function requireVolume(id: VolumeId, found: Classified | undefined): RdsVolume {
  const volume = ownVolume(found);
  if (volume === undefined) throw failure("volumeNotFound", { volume: id });
  return volume;
}

/**
 * As ownVolume, for a detach: a disk without export and without a record of ours counts as detached.
 * @throws as ownVolume
 */
export function volumeToDetach(found: Classified | undefined): RdsVolume | undefined {
  if (found?.kind === "foreign" && !mayHoldRecord(found.foreign) && !found.foreign.disk.exported)
    return undefined;
  return ownVolume(found);
}

/** Whether the disk's comment is a record of this driver that may say who has it. */
export function mayHoldRecord({ cause }: ForeignDisk): boolean {
  return cause === "unreadable" || cause === "former-id";
}
