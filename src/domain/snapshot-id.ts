import { createHash } from "node:crypto";

declare const brand: unique symbol;

/** CSI snapshot handle: `snap-` and 28 hex digits. It begins the name of the snapshot's subvolume on the RDS. */
export type SnapshotId = string & { readonly [brand]: "SnapshotId" };

const FORM = /^snap-[0-9a-f]{28}$/;

/** Derives the handle of a CSI snapshot name: `snap-` + the first 28 hex digits of its SHA-256 (UTF-8 bytes). */
export function snapshotIdFromName(name: string): SnapshotId {
  return `snap-${createHash("sha256").update(name, "utf8").digest("hex").slice(0, 28)}` as SnapshotId;
}

/** Reads a snapshot handle. undefined: the handle has not the form of ours, so no snapshot can have it. */
export function parseSnapshotId(handle: string): SnapshotId | undefined {
  return FORM.test(handle) ? (handle as SnapshotId) : undefined;
}
