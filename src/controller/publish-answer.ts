import { failure } from "../domain/errors/driver-error.ts";
import type { FilesystemState, PublishContext } from "../domain/publish-context.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { RdsVolume } from "../rds/volume.ts";

/**
 * What a node is told of a volume that it may have.
 * @param volume as the command showed it that granted the access
 * @param address storage address that nodes connect to: a literal IP address
 * @throws volumeNotReady (UNAVAILABLE)
 */
export function publishContextOf(
  { id, disk, record }: RdsVolume,
  hostNqn: string,
  address: string,
): PublishContext {
  // The row that the decision was based on may be older than a restart of the RDS, whose pools are mounted late.
  if (disk.size === undefined || disk.port === undefined) throw failure("volumeNotReady", { volume: id });
  const { ctrlLossTmo, reconnectDelay, keepAliveTmo } = record.settings;
  const { fastIoFailTmo, nrIoQueues, queueSize } = record.settings;
  return {
    nqn: disk.nqn,
    address,
    port: disk.port,
    hostNqn,
    sizeBytes: disk.size,
    filesystemState: filesystemState(record),
    ctrlLossTmo,
    reconnectDelay,
    keepAliveTmo,
    fastIoFailTmo,
    nrIoQueues,
    queueSize,
  };
}

/**
 * What the node may assume about a filesystem; the same for the whole life of an attachment. A node cannot
 * tell the RDS that it made one, so every attachment but the first must reckon with it.
 */
function filesystemState(record: VolumeRecord): FilesystemState {
  if (record.source !== undefined) return "keep";
  return record.epoch === 1 ? "new" : "used";
}
