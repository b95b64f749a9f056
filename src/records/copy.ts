import { Buffer } from "node:buffer";
import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeId } from "../domain/volume-id.ts";

/** The last readable record of a volume, as it is kept in the cluster. */
export interface RecordCopy {
  /** The disk item's comment. */
  readonly comment: string;
  /** When this comment was first seen; RFC 3339, UTC. */
  readonly seen: string;
  /** The highest epoch that was ever seen of this volume. */
  readonly epoch: number;
  /** Since when the RDS has no such disk item; RFC 3339, UTC. */
  readonly gone?: string | undefined;
}

/** Copies by volume handle. */
export type Copies = ReadonlyMap<string, RecordCopy>;

/** One hex digit: the last of the handle, whose digits are evenly spread. */
export const SHARDS = [..."0123456789abcdef"] as const;
export type Shard = (typeof SHARDS)[number];

/** Where a volume's copy is kept; undefined for handles that end with no hex digit. */
export function shardOf(handle: string): Shard | undefined {
  return SHARDS.find((digit) => handle.endsWith(digit));
}

/** A ConfigMap holds 1 MiB; the rest is for its own fields. Bytes of keys and values. */
export const SHARD_BYTES = 900_000;

/** Copies of volumes that are gone are kept so long: an item that was removed by hand can be made again. Milliseconds. */
export const GONE_KEPT_MS = 7 * 86_400_000;

/** A copy as it is stored. */
export function encodeCopy({ comment, seen, epoch, gone }: RecordCopy): string {
  return JSON.stringify({ comment, seen, epoch, ...(gone === undefined ? {} : { gone }) });
}

/** Reads what is stored; undefined when it is no copy, e.g. edited by hand. */
export function decodeCopy(text: string): RecordCopy | undefined {
  try {
    const { comment, seen, epoch, gone } = JSON.parse(text) as Record<string, unknown>;
    const isRight =
      typeof comment === "string" &&
      typeof seen === "string" &&
      typeof epoch === "number" &&
      Number.isSafeInteger(epoch) &&
      epoch >= 0 &&
      (gone === undefined || typeof gone === "string") &&
      decodeRecord(comment).kind === "record";
    return isRight ? { comment, seen, epoch, ...(gone === undefined ? {} : { gone }) } : undefined;
  } catch {
    return undefined;
  }
}

/** Reads the data of a shard; what is no copy is left out, and so replaced. */
export function decodeShard(data: Readonly<Record<string, string>>): Map<string, RecordCopy> {
  const copies = new Map<string, RecordCopy>();
  for (const [handle, text] of Object.entries(data)) {
    const copy = decodeCopy(text);
    if (copy !== undefined) copies.set(handle, copy);
  }
  return copies;
}

/** A readable record as just read. */
export interface SeenRecord {
  readonly id: VolumeId;
  readonly comment: string;
  readonly epoch: number;
  readonly attached: boolean;
}

/**
 * What a shard is to hold. A copy changes when the comment does; a volume without a readable record keeps its copy; one that
 * is gone keeps it for a week.
 * @param present readable records of this shard
 * @param isThere whether the RDS has a disk item of this handle, readable or not
 * @param now milliseconds since the Unix epoch
 * @returns the data, and how many copies found no room: those of gone volumes first, then of unattached ones
 */
export function nextShard(
  before: Copies,
  present: readonly SeenRecord[],
  isThere: (handle: string) => boolean,
  now: number,
): { readonly copies: Copies; readonly left: number } {
  const at = new Date(now).toISOString().replace(/\.\d{3}Z$/, "Z");
  const copies = new Map<string, RecordCopy>();
  for (const [handle, copy] of before) {
    if (isThere(handle)) {
      const { comment, seen, epoch } = copy;
      copies.set(handle, { comment, seen, epoch });
    } else if (copy.gone === undefined || now - Date.parse(copy.gone) < GONE_KEPT_MS) {
      copies.set(handle, { ...copy, gone: copy.gone ?? at });
    }
  }
  const attached = new Set<string>();
  for (const { id, comment, epoch, attached: isAttached } of present) {
    const old = copies.get(id);
    const highest = Math.max(epoch, old?.epoch ?? 0);
    copies.set(id, { comment, seen: old?.comment === comment ? old.seen : at, epoch: highest });
    if (isAttached) attached.add(id);
  }
  const rank = ([handle, { gone }]: readonly [string, RecordCopy]): number =>
    gone !== undefined ? 2 : attached.has(handle) ? 0 : 1;
  const ordered = [...copies].toSorted((a, b) => rank(a) - rank(b) || (a[0] < b[0] ? -1 : 1));
  let bytes = 0;
  const kept = ordered.filter(([handle, copy]) => {
    bytes += handle.length + Buffer.byteLength(encodeCopy(copy));
    return bytes <= SHARD_BYTES;
  });
  return { copies: new Map(kept), left: ordered.length - kept.length };
}
