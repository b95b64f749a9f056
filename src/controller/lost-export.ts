import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";

/**
 * Whether a volume's export went off without anybody having asked for it: an expansion was interrupted, or the RDS has
 * forgotten it in a reboot. The latter only where a node of the record is to have the volume, and the item still describes
 * the export that the record wants.
 * @param wanted nodes that are to have the volume
 */
export function isExportLost(
  rds: Pick<Rds, "exportIsRight">,
  volume: RdsVolume,
  wanted: ReadonlySet<string>,
): boolean {
  const { record, disk } = volume;
  if (record.attachments.length === 0 || disk.exported) return false;
  if (record.reExportSince !== undefined) return true;
  // Without a size its device is not there yet, e.g. while the pool of a rebooted RDS is mounted late.
  const isReady = disk.size !== undefined;
  const isDescribed = rds.exportIsRight({ ...volume, disk: { ...disk, exported: true } });
  return isReady && isDescribed && record.attachments.some(({ node }) => wanted.has(node));
}
