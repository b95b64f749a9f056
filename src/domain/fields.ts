import { Buffer } from "node:buffer";
import { failure } from "./errors/driver-error.ts";

/** Longest CSI name in bytes (CSI specification, "Size Limits"). */
export const NAME_LIMIT_BYTES = 128;

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** @throws fieldMissing (INVALID_ARGUMENT) naming the field */
export function requireField(field: string, value: string): void {
  if (value === "") throw failure("fieldMissing", { field });
}

/**
 * Checks the name of a volume to create: any Unicode except control characters, 1–128 bytes of UTF-8.
 * Source: CSI specification, CreateVolumeRequest.name.
 * @throws fieldMissing, fieldTooLong, fieldInvalid (INVALID_ARGUMENT)
 */
export function requireName(field: string, name: string): void {
  requireField(field, name);
  const bytes = Buffer.byteLength(name, "utf8");
  if (bytes > NAME_LIMIT_BYTES) throw failure("fieldTooLong", { field, bytes, limit: NAME_LIMIT_BYTES });
  if (CONTROL.test(name))
    throw failure("fieldInvalid", { field, reason: "control characters are not allowed" });
}
