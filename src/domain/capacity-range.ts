import { failure } from "./errors/driver-error.ts";

/** Bytes; 0 means "not given" (CSI specification, CapacityRange). */
export interface CapacityRange {
  readonly requiredBytes: bigint;
  readonly limitBytes: bigint;
}

/**
 * @throws fieldInvalid (INVALID_ARGUMENT) for negative values, capacityOutOfRange (OUT_OF_RANGE) when the
 * limit is below the required size
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

/** Whether an existing volume of `sizeBytes` satisfies the range. */
export function satisfies(sizeBytes: bigint, { requiredBytes, limitBytes }: CapacityRange): boolean {
  return sizeBytes >= requiredBytes && (limitBytes === 0n || sizeBytes <= limitBytes);
}

/** The error capacityOutOfRange (OUT_OF_RANGE) for a range, with the reason. */
export function outOfRange({ requiredBytes, limitBytes }: CapacityRange, reason: string): Error {
  return failure("capacityOutOfRange", { required: requiredBytes, limit: limitBytes, reason });
}
