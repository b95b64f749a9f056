import { Buffer } from "node:buffer";
import { failure } from "../domain/errors/driver-error.ts";
import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";

/** Longest volume or snapshot name, and any other string without a limit of its own, in UTF-8 bytes (CSI, "Size Limits"). */
export const NAME_LIMIT = 128;

/** @throws fieldMissing (INVALID_ARGUMENT) naming the field */
export function requireField(field: string, value: string): void {
  if (value === "") throw failure("fieldMissing", { field });
}

/**
 * Checks a name that the orchestrator chose (CreateVolume, CreateSnapshot): 1 to 128 bytes of UTF-8 without control characters.
 * CSI allows tab, line feed and carriage return; a record does not hold them.
 * @throws fieldMissing, fieldTooLong or fieldInvalid (INVALID_ARGUMENT) naming `field`
 */
export function requireName(field: string, name: string): void {
  requireField(field, name);
  checkLength(field, name, NAME_LIMIT);
  const control = /\p{Cc}/u.exec(name);
  if (control !== null) {
    const code = name.charCodeAt(control.index).toString(16).toUpperCase().padStart(4, "0");
    throw failure("fieldInvalid", { field, reason: `it contains the control character U+${code}` });
  }
}

/** @throws fieldTooLong (INVALID_ARGUMENT) when `text` has more than `limit` bytes of UTF-8 */
export function checkLength(field: string, text: string, limit: number): void {
  const bytes = Buffer.byteLength(text, "utf8");
  if (bytes > limit) throw failure("fieldTooLong", { field, bytes, limit });
}

/**
 * Reads the required field `volume_id`. undefined: the handle has not the form of ours, so that no volume can have it; the services
 * never see its text.
 * @throws fieldMissing (INVALID_ARGUMENT)
 */
export function readVolumeId(handle: string): VolumeId | undefined {
  requireField("volume_id", handle);
  return parseVolumeId(handle);
}

/** As readVolumeId, for a call that needs the volume. @throws fieldMissing (INVALID_ARGUMENT), volumeNotFound (NOT_FOUND) */
export function requireVolumeId(handle: string): VolumeId {
  const id = readVolumeId(handle);
  if (id === undefined) throw failure("volumeNotFound", { volume: JSON.stringify(handle) });
  return id;
}
