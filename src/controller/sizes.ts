import type { Capability, Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { roundUpSize, SIZE_GRANULARITY } from "../rds/layout.ts";

/** Bytes; 0 means "not given" (CSI specification, CapacityRange). */
export interface CapacityRange {
  readonly requiredBytes: bigint;
  readonly limitBytes: bigint;
}

/** Size of a volume for which nothing is asked: 1 GiB. */
export const DEFAULT_SIZE = 1024n ** 3n;

/** Smallest volumes that the mkfs programs accept with room for data. Bytes. */
const FILESYSTEM_MINIMUM: Readonly<Record<Filesystem, bigint>> = {
  ext4: 16n * 1024n ** 2n,
  xfs: 300n * 1024n ** 2n,
};

const INT64_MAX = 2n ** 63n - 1n;

/**
 * @throws fieldInvalid (INVALID_ARGUMENT) for negative values, capacityOutOfRange (OUT_OF_RANGE) when the
 * limit is below what is required
 */
export function checkRange({ requiredBytes, limitBytes }: CapacityRange): void {
  for (const [field, value] of [
    ["capacity_range.required_bytes", requiredBytes],
    ["capacity_range.limit_bytes", limitBytes],
  ] as const) {
    if (value < 0n) throw failure("fieldInvalid", { field, reason: `${value} is negative` });
  }
  if (limitBytes !== 0n && limitBytes < requiredBytes) {
    throw outOfRange({ requiredBytes, limitBytes }, "limit_bytes is below required_bytes");
  }
}

/**
 * The size of a new volume: what is required, raised to the smallest that works and rounded up to 1 MiB.
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

/** Whether an existing volume of `sizeBytes` satisfies the range. */
export function satisfies(sizeBytes: bigint, { requiredBytes, limitBytes }: CapacityRange): boolean {
  return sizeBytes >= requiredBytes && (limitBytes === 0n || sizeBytes <= limitBytes);
}

function minimumFor({ accessType, fsType }: Capability): bigint {
  if (accessType === "block") return SIZE_GRANULARITY;
  return fsType === "xfs" ? FILESYSTEM_MINIMUM.xfs : FILESYSTEM_MINIMUM.ext4;
}

function defaultSize(limitBytes: bigint): bigint {
  if (limitBytes === 0n || limitBytes >= DEFAULT_SIZE) return DEFAULT_SIZE;
  return (limitBytes / SIZE_GRANULARITY) * SIZE_GRANULARITY;
}

function outOfRange({ requiredBytes, limitBytes }: CapacityRange, reason: string): Error {
  return failure("capacityOutOfRange", { required: requiredBytes, limit: limitBytes, reason });
}
