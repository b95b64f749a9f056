import type { ControllerStack, Stack } from "../../test/support/rds-stack.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";

export const ID = volumeIdFromName("pvc-1");

/** ControllerModifyVolume of `pvc-1`. */
export const modify = (
  on: ControllerStack,
  mutableParameters: Readonly<Record<string, string>>,
  signal: AbortSignal = AbortSignal.timeout(30_000),
  volumeId: VolumeId = ID,
): Promise<void> => on.modifications.modify({ volumeId, mutableParameters, signal });

/** The volume as the RDS has it: its item without the comment, and its record. */
export function stored(on: Stack, id: VolumeId = ID) {
  const disk = on.simulator.device.disk(id);
  if (disk === undefined) throw new Error("the volume is gone");
  return { disk, record: recordIn(disk.comment) };
}

/** A readable record. */
export function recordIn(comment: string): VolumeRecord {
  const decoded = decodeRecord(comment);
  if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
  return decoded.record;
}
