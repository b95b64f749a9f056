import { createHash } from "node:crypto";

declare const brand: unique symbol;

/**
 * A slot on the RDS, which is also the CSI volume handle: `csi-` and 28 hex digits, or `pvc-<uuid>` for
 * volumes that the earlier Go driver made. It is safe in any RouterOS name, file path, NQN and Linux path.
 */
export type VolumeId = string & { readonly [brand]: "VolumeId" };

const OWN = /^csi-[0-9a-f]{28}$/;
const ADOPTED = /^pvc-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** Prefix of every slot that this driver makes. */
export const SLOT_PREFIX = "csi-";

/** Whether a volume was made by the earlier Go driver: its handle is not made from its name. */
export function isOfEarlierDriver(id: VolumeId): boolean {
  return !id.startsWith(SLOT_PREFIX);
}

/**
 * Derives the handle of a CSI volume name: `csi-` + the first 28 hex digits of its SHA-256 (UTF-8 bytes).
 * 32 characters, the slot limit of RouterOS 7.24.
 */
export function volumeIdFromName(name: string): VolumeId {
  return `${SLOT_PREFIX}${createHash("sha256").update(name, "utf8").digest("hex").slice(0, 28)}` as VolumeId;
}

/**
 * Reads a volume handle. undefined: the handle has not the form of ours, so no volume can have it. Callers answer "not found" or
 * "already deleted" and never pass the text on.
 */
export function parseVolumeId(handle: string): VolumeId | undefined {
  return OWN.test(handle) || ADOPTED.test(handle) ? (handle as VolumeId) : undefined;
}
