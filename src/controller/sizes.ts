import type { Capability, Filesystem } from "../domain/access-mode.ts";
import { type CapacityRange, checkRange, outOfRange } from "../domain/capacity-range.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { roundUpSize, SIZE_GRANULARITY } from "../rds/layout.ts";
import type { Pool } from "../rds/pool.ts";

/** Size of a volume for which nothing is asked: 1 GiB. */
export const DEFAULT_SIZE = 1024n ** 3n;

/** Smallest volumes that the mkfs programs accept with room for data. Bytes. */
const FILESYSTEM_MINIMUM: Readonly<Record<Filesystem, bigint>> = {
  ext4: 16n * 1024n ** 2n,
  xfs: 300n * 1024n ** 2n,
};

const INT64_MAX = 2n ** 63n - 1n;

/**
 * The size of a new volume: the required size, raised to the smallest that works and rounded up to 1 MiB.
 * @returns bytes
 * @throws as checkRange, and capacityOutOfRange when the rounded size is above the limit
 */
export function chooseSize(range: CapacityRange, capabilities: readonly Capability[]): bigint {
  checkRange(range);
  const { requiredBytes, limitBytes } = range;
  const minimum = capabilities.reduce((least, capability) => {
    const needed = minimumFor(capability);
    return needed > least ? needed : least;
  }, SIZE_GRANULARITY);
  const wanted = requiredBytes === 0n ? defaultSize(limitBytes) : requiredBytes;
  const size = roundUpSize(wanted > minimum ? wanted : minimum);
  if (size > INT64_MAX) throw outOfRange(range, "it cannot be rounded up to a multiple of 1 MiB");
  if (limitBytes !== 0n && size > limitBytes) {
    throw outOfRange(range, `the smallest size that satisfies required_bytes is ${size} bytes`);
  }
  return size;
}

/**
 * The size of a volume that is made from a source: as `chooseSize`, or the size of the source where none is asked for.
 * @param source as messages name it
 * @returns bytes
 * @throws sourceLarger (OUT_OF_RANGE) when less than the size of the source is asked for; as chooseSize
 */
export function sizeOfClone(
  source: string,
  sizeBytes: bigint,
  range: CapacityRange,
  capabilities: readonly Capability[],
): bigint {
  checkRange(range);
  const { requiredBytes, limitBytes } = range;
  const refuse = (detail: string) => failure("sourceLarger", { source, sizeBytes, detail });
  if (limitBytes !== 0n && limitBytes < sizeBytes) throw refuse(`limit_bytes is ${limitBytes}`);
  if (requiredBytes === 0n) return sizeBytes;
  if (roundUpSize(requiredBytes) < sizeBytes) throw refuse(`required_bytes is ${requiredBytes}`);
  const size = chooseSize(range, capabilities);
  return size < sizeBytes ? sizeBytes : size;
}

/**
 * The size that a volume of `sizeBytes` is to have: the required size, rounded up as for a new volume. A volume that is large
 * enough keeps its size.
 * @returns bytes
 * @throws as checkRange; fieldMissing (INVALID_ARGUMENT) when nothing is asked for; capacityOutOfRange (OUT_OF_RANGE)
 * when the volume is, or would become, larger than the limit
 */
export function grownSize(sizeBytes: bigint, range: CapacityRange): bigint {
  checkRange(range);
  const { requiredBytes, limitBytes } = range;
  if (requiredBytes === 0n && limitBytes === 0n) throw failure("fieldMissing", { field: "capacity_range" });
  const size = sizeBytes >= requiredBytes ? sizeBytes : roundUpSize(requiredBytes);
  if (size > INT64_MAX) throw outOfRange(range, "it cannot be rounded up to a multiple of 1 MiB");
  if (limitBytes !== 0n && size > limitBytes) {
    throw outOfRange(
      range,
      size === sizeBytes
        ? `the volume has ${size} bytes already, and volumes never shrink`
        : `the smallest size that satisfies required_bytes is ${size} bytes`,
    );
  }
  return size;
}

function minimumFor({ accessType, fsType }: Capability): bigint {
  if (accessType === "block") return SIZE_GRANULARITY;
  return fsType === "xfs" ? FILESYSTEM_MINIMUM.xfs : FILESYSTEM_MINIMUM.ext4;
}

function defaultSize(limitBytes: bigint): bigint {
  if (limitBytes === 0n || limitBytes >= DEFAULT_SIZE) return DEFAULT_SIZE;
  return (limitBytes / SIZE_GRANULARITY) * SIZE_GRANULARITY;
}

/** The size, if the pool could ever hold it. @throws capacityOutOfRange (OUT_OF_RANGE) */
export function fitting(sizeBytes: bigint, pool: Pool, range: CapacityRange): bigint {
  if (sizeBytes > pool.size) throw outOfRange(range, `pool ${pool.slot} has ${pool.size} bytes in all`);
  return sizeBytes;
}
