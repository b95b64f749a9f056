import { failure } from "../domain/errors/driver-error.ts";
import { filesystemUuidOf } from "../domain/filesystem-uuid.ts";
import type { FilesystemState, PublishContext } from "../domain/publish-context.ts";
import { connectionOf, type VolumeRecord } from "../domain/record/volume-record.ts";
import { isOfEarlierDriver, type VolumeId } from "../domain/volume-id.ts";
import type { RdsVolume } from "../rds/volume.ts";

/**
 * The publish context of a node that may have a volume.
 * @param volume as the command showed it that granted the access
 * @param address storage address that nodes connect to: a literal IP address
 * @throws volumeNotReady (UNAVAILABLE)
 */
export function publishContextOf(
  { id, disk, record }: RdsVolume,
  hostNqn: string,
  address: string,
): PublishContext {
  // The row of the decision may be older than a restart of the RDS, which mounts its pools late.
  if (disk.size === undefined || disk.port === undefined) throw failure("volumeNotReady", { volume: id });
  const attachment = record.attachments.find((each) => each.hostNqn === hostNqn);
  const isMountedClone = record.source !== undefined && attachment?.accessType === "mount";
  return {
    nqn: disk.nqn,
    address,
    port: disk.port,
    hostNqn,
    sizeBytes: disk.size,
    filesystemState: filesystemState(id, record),
    ...(isMountedClone ? { filesystemUuid: filesystemUuidOf(id) } : {}),
    readonly: attachment?.readonly ?? false,
    // Settings that were changed since are for later attachments.
    ...(attachment?.connection ?? connectionOf(record.settings)),
  };
}

/**
 * Whether the volume may hold a filesystem; the same for the whole life of an attachment. A node cannot report to the RDS
 * that it made a filesystem, so every attachment but the first must expect one. A clone holds one if its origin did, and the
 * clone's record has had the origin's from the beginning (freshAttach in migration/publish.ts adds none). A volume of the earlier driver
 * was in use before its first epoch.
 */
function filesystemState(id: VolumeId, record: VolumeRecord): FilesystemState {
  if (record.source !== undefined && record.filesystem !== undefined) return "keep";
  return record.epoch === 1 && !isOfEarlierDriver(id) ? "new" : "used";
}
