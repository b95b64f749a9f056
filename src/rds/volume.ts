import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";

/** A disk of ours: our slot pattern, a readable record of this installation. */
export interface RdsVolume {
  readonly id: VolumeId;
  readonly record: VolumeRecord;
  /** The disk item as read, for compare-and-set and for what the record does not say. */
  readonly disk: Disk;
}

/** A disk with our slot pattern that must not be changed. */
export interface ForeignDisk {
  readonly id: VolumeId;
  readonly disk: Disk;
  readonly reason: string;
}

/** What a disk item is to this installation. undefined: not our slot pattern, or not a file disk at all. */
export type Classified =
  | { readonly kind: "volume"; readonly volume: RdsVolume }
  | { readonly kind: "foreign"; readonly foreign: ForeignDisk };

/** Sorts a disk item into ours, foreign, or none of our business (undefined). */
export function classify(disk: Disk, clusterId: string): Classified | undefined {
  const id = parseVolumeId(disk.slot);
  if (id === undefined) return undefined;
  const foreign = (reason: string): Classified => ({ kind: "foreign", foreign: { id, disk, reason } });
  if (disk.type !== "file") return foreign(`it is of type ${disk.type || "unknown"}, not a file`);
  const decoded = decodeRecord(disk.comment);
  if (decoded.kind === "foreign") return foreign("its comment holds no record of this driver");
  if (decoded.kind === "unreadable") return foreign(`its record cannot be read: ${decoded.reason}`);
  if (decoded.record.cluster !== clusterId) return foreign(`it belongs to cluster ${decoded.record.cluster}`);
  if (!disk.filePath.endsWith(`/${id}.img`))
    return foreign(`its file ${disk.filePath} is not named after it`);
  return { kind: "volume", volume: { id, record: decoded.record, disk } };
}
