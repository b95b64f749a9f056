import { type CapacityRange, satisfies } from "../domain/capacity-range.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { requireFinished } from "../rds/copy.ts";
import { fileLayoutOf, type Layout, mountPointIn } from "../rds/layout.ts";
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

/** A volume that may be deleted. @throws foreignDisk, recordUnusable, volumeInUse (FAILED_PRECONDITION) */
export function deletable(found: Classified): RdsVolume {
  const volume = ownVolume(found);
  if (volume === undefined) {
    const { id, reason } = (found as Extract<Classified, { kind: "foreign" }>).foreign;
    throw failure("foreignDisk", { slot: id, reason });
  }
  if (volume.record.conversion !== undefined) requireFinished(volume);
  if (volume.record.attachments.length > 0) {
    const nodes = volume.record.attachments.map((attachment) => attachment.node);
    throw failure("volumeInUse", { volume: volume.id, nodes });
  }
  return volume;
}

/** A CreateVolume request, as far as an existing volume is compared with it. */
export interface Asked {
  readonly name: string;
  readonly range: CapacityRange;
  /** Handle of the content source, if there is one. */
  readonly source: string | undefined;
}

/**
 * Checks that an existing volume has the properties of a CreateVolume request.
 * @param place where the volume is to be; a clone whose StorageClass names no pool is on the pool of its source
 * @throws volumeExistsDifferently (ALREADY_EXISTS) naming the first difference
 */
export function requireSame(
  volume: RdsVolume,
  { name, range, source }: Asked,
  { settings, claim, pool, layout }: Parameters,
  place: Pick<Layout, "directory"> & { readonly mountPoint: string },
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
  if (volume.record.source !== source)
    throw different(
      `it was made ${madeFrom(volume.record.source)}, asked for is a volume made ${madeFrom(source)}`,
    );
  const { filePath } = volume.disk;
  const mountPoint = mountPointIn(filePath, place, volume.id);
  const anyPool = source !== undefined && pool === undefined;
  if (mountPoint === undefined || (!anyPool && mountPoint !== place.mountPoint))
    throw different(`its file is ${filePath}, asked for is one in ${place.mountPoint}/${place.directory}`);
  const form = fileLayoutOf(filePath, volume.id);
  if (layout !== "auto" && layout !== form) throw different(`its layout is ${form}, asked for is ${layout}`);
  for (const key of Object.keys(settings) as (keyof typeof settings)[]) {
    if (volume.record.settings[key] !== settings[key]) {
      throw different(`its ${key} is ${volume.record.settings[key]}, asked for ${settings[key]}`);
    }
  }
}

function madeFrom(source: string | undefined): string {
  return source === undefined ? "blank" : `from ${source}`;
}

type Claim = NonNullable<Parameters["claim"]>;

function isSameClaim(a: Claim, b: Claim): boolean {
  return a.namespace === b.namespace && a.name === b.name;
}

function claimText({ namespace, name }: Claim): string {
  return JSON.stringify(`${namespace}/${name}`);
}
