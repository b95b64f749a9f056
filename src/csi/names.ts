import { Buffer } from "node:buffer";
import { failure } from "../domain/errors/driver-error.ts";

/** Longest volume or snapshot name, and any other string without a limit of its own, in UTF-8 bytes (CSI, "Size Limits"). */
export const NAME_LIMIT = 128;

/** Control characters that CSI bans from names; tab, line feed and carriage return are allowed there. */
const BANNED = /(?![\t\n\r])\p{Cc}/u;

/**
 * Checks a name that the orchestrator chose (CreateVolume, CreateSnapshot): present, at most 128 bytes of UTF-8, free of
 * banned control characters. Any other Unicode text is a valid name.
 * @throws fieldMissing, fieldTooLong or fieldInvalid (INVALID_ARGUMENT) naming `field`
 */
export function checkName(field: string, name: string): void {
  if (name === "") throw failure("fieldMissing", { field });
  checkLength(field, name, NAME_LIMIT);
  const banned = BANNED.exec(name);
  if (banned !== null) {
    const code = name.charCodeAt(banned.index).toString(16).toUpperCase().padStart(4, "0");
    throw failure("fieldInvalid", { field, reason: `it contains the control character U+${code}` });
  }
}

/** @throws fieldTooLong (INVALID_ARGUMENT) when `text` has more than `limit` bytes of UTF-8 */
export function checkLength(field: string, text: string, limit: number): void {
  const bytes = Buffer.byteLength(text, "utf8");
  if (bytes > limit) throw failure("fieldTooLong", { field, bytes, limit });
}
