import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";

/** A re-export that takes longer, in seconds, was interrupted. */
const RE_EXPORT_SECONDS = 10;

/**
 * Whether an expansion keeps the export of a volume off for a moment, so that its hosts miss it.
 * @param now seconds since the Unix epoch
 */
export function isReExporting({ record, disk }: RdsVolume, now: number): boolean {
  const since = record.reExportSince;
  // A mark from the future was made before a clock jumped back.
  return since !== undefined && !disk.exported && Math.abs(now - since) < RE_EXPORT_SECONDS;
}

/**
 * Whether a volume has lost its export: an expansion was interrupted, or the RDS forgot the export in a reboot. The latter only where a
 * node of the record is to have the volume, and the item still describes the export that the record wants.
 * @param wanted nodes that are to have the volume
 * @param now seconds since the Unix epoch
 */
export function isExportLost(
  rds: Pick<Rds, "exportIsRight">,
  volume: RdsVolume,
  wanted: ReadonlySet<string>,
  now: number,
): boolean {
  const { record, disk } = volume;
  if (record.attachments.length === 0 || disk.exported) return false;
  if (record.reExportSince !== undefined) return !isReExporting(volume, now);
  // A device without a size is not there yet, e.g. while a rebooted RDS mounts its pool.
  const isReady = disk.size !== undefined;
  const isDescribed = rds.exportIsRight({ ...volume, disk: { ...disk, exported: true } });
  return isReady && isDescribed && record.attachments.some(({ node }) => wanted.has(node));
}
