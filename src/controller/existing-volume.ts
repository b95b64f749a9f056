import { type CapacityRange, satisfies } from "../domain/capacity-range.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { type Classified, mayHoldRecord, ownVolume, type RdsVolume } from "../rds/volume.ts";
import type { Parameters } from "./parameters.ts";

/**
 * The volume that CreateVolume found or made. Slot and record stand for the name that was asked for.
 * @throws volumeExistsDifferently (ALREADY_EXISTS) when the slot belongs to something else; recordUnusable
 *   (FAILED_PRECONDITION) when it may be this very volume
 */
export function requireOwn(id: VolumeId, name: string, found: Classified): RdsVolume {
  if (found.kind === "foreign") {
    // The disk may hold this very volume with its data: advice to delete it would be wrong.
    if (mayHoldRecord(found.foreign)) ownVolume(found);
    const difference = `disk ${id} on the RDS is not managed by this driver (${found.foreign.reason})`;
    throw failure("volumeExistsDifferently", { name, difference });
  }
  return found.volume;
}

/**
 * Checks that an existing volume has the properties of a CreateVolume request.
 * @param path of the file that the volume is to have
 * @throws volumeExistsDifferently (ALREADY_EXISTS) naming the first difference
 */
export function requireSame(
  volume: RdsVolume,
  { name, range }: { readonly name: string; readonly range: CapacityRange },
  { settings, claim }: Parameters,
  path: string,
): void {
  const size = volume.disk.size ?? 0n;
  const different = (difference: string): Error => failure("volumeExistsDifferently", { name, difference });
  const has = volume.record.claim;
  // Without --extra-create-metadata the provisioner names no claim: nothing to compare.
  if (has !== undefined && claim !== undefined && !isSameClaim(has, claim))
    throw different(`it was made for the claim ${claimText(has)}, asked for ${claimText(claim)}`);
  if (!satisfies(size, range)) {
    throw different(
      `its size is ${size} bytes, asked for required_bytes=${range.requiredBytes} limit_bytes=${range.limitBytes}`,
    );
  }
  if (volume.disk.filePath !== path)
    throw different(`its file is ${volume.disk.filePath}, asked for ${path}`);
  if (volume.record.source !== undefined) throw different(`it was made from ${volume.record.source}`);
  for (const key of Object.keys(settings) as (keyof typeof settings)[]) {
    if (volume.record.settings[key] !== settings[key]) {
      throw different(`its ${key} is ${volume.record.settings[key]}, asked for ${settings[key]}`);
    }
  }
}

type Claim = NonNullable<Parameters["claim"]>;

function isSameClaim(a: Claim, b: Claim): boolean {
  return a.namespace === b.namespace && a.name === b.name;
}

function claimText({ namespace, name }: Claim): string {
  return JSON.stringify(`${namespace}/${name}`);
}
