import { createHash } from "node:crypto";

/** The form of a filesystem's UUID in the publish context: lower case, as programs print it. */
export const FILESYSTEM_UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The UUID that the filesystem of a clone is to have: its origin's may be mounted on the same node. It is the same in every
 * attachment, so that a node can tell whether the change was made already.
 * @param volume handle of the clone
 */
export function filesystemUuidOf(volume: string): string {
  return uuidFrom(createHash("sha256").update(`rds-csi filesystem ${volume}`).digest("hex"));
}

/**
 * A UUID of version 4 and of the variant of RFC 9562, as programs expect them.
 * @param hex at least 32 hex digits, lower case
 */
export function uuidFrom(hex: string): string {
  const [variant = "8"] = "89ab"[Number.parseInt(hex[16] ?? "0", 16) % 4] ?? "8";
  return [
    hex.slice(0, 8),
    hex.slice(8, 12),
    `4${hex.slice(13, 16)}`,
    `${variant}${hex.slice(17, 20)}`,
    hex.slice(20, 32),
  ].join("-");
}
