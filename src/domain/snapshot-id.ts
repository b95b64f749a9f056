import { createHash } from "node:crypto";

declare const brand: unique symbol;

/** The name of a snapshot as a handle begins with it: `snap-` and 28 hex digits. It begins the name of the snapshot's subvolume on the RDS, too. */
export type SnapshotId = string & { readonly [brand]: "SnapshotId" };

/**
 * CSI snapshot handle: `<id>.<label>`, with the label of the filesystem that holds the snapshot. Volumes have a disk item that says where they are,
 * while their pool is away, too; snapshots have none. So the handle says which pool must be mounted before a snapshot counts as absent, and
 * a copy of it in another filesystem is not taken for it.
 */
export type SnapshotHandle = string & { readonly [brand]: "SnapshotHandle" };

/** A label that handles, RouterOS lines, and replies that are cut at separators, take as it is. A handle has at most 128 bytes (CSI specification). */
const LABEL = /^[A-Za-z0-9._:@+-]{1,64}$/;
const FORM = /^(?<id>snap-[0-9a-f]{28})(?:\.(?<label>.*))?$/;

/** Whether the label of a filesystem can be in a handle. */
export function isHandleLabel(label: string): boolean {
  return LABEL.test(label);
}

/** Derives the id of a CSI snapshot name: `snap-` + the first 28 hex digits of its SHA-256 (UTF-8 bytes). */
export function snapshotIdFromName(name: string): SnapshotId {
  return `snap-${createHash("sha256").update(name, "utf8").digest("hex").slice(0, 28)}` as SnapshotId;
}

/** The id that a text is. undefined: it has not the form of ours. */
export function parseSnapshotId(text: string): SnapshotId | undefined {
  const { id, label } = FORM.exec(text)?.groups ?? {};
  return label === undefined ? (id as SnapshotId | undefined) : undefined;
}

/** The handle of a snapshot. @param label of its filesystem */
export function snapshotHandle(id: SnapshotId, label: string): SnapshotHandle {
  return `${id}.${label}` as SnapshotHandle;
}

/** Reads a snapshot handle. undefined: the handle has not the form of ours, so no snapshot can have it. */
export function parseSnapshotHandle(handle: string): SnapshotHandle | undefined {
  const { id, label = "" } = FORM.exec(handle)?.groups ?? {};
  return id !== undefined && LABEL.test(label) ? (handle as SnapshotHandle) : undefined;
}

/** The two parts of a handle. */
export function partsOfHandle(handle: SnapshotHandle): { readonly id: SnapshotId; readonly label: string } {
  const at = handle.indexOf(".");
  return { id: handle.slice(0, at) as SnapshotId, label: handle.slice(at + 1) };
}
