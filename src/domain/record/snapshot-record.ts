import { createHash } from "node:crypto";
import { FILESYSTEMS, type Filesystem } from "../access-mode.ts";
import { parseSnapshotId, type SnapshotId } from "../snapshot-id.ts";
import { parseVolumeId, type VolumeId } from "../volume-id.ts";

/** Everything that is known about a snapshot, as of its cut. */
export interface SnapshotRecord {
  readonly id: SnapshotId;
  /** The volume that was cut. It may be gone since. */
  readonly source: VolumeId;
  /** Size of the source at the cut, and least size of a volume that is made from the snapshot. Bytes. */
  readonly sizeBytes: bigint;
  /** The filesystem that the source had been given; undefined: none, or a raw block volume. */
  readonly filesystem: Filesystem | undefined;
  /** `clusterToken` of the installation that made it. */
  readonly cluster: string;
  /** Time of the cut by the clock of the RDS, UTC; nanoseconds since the Unix epoch. */
  readonly createdNs: bigint;
}

/**
 * The record is the name of the snapshot's subvolume: `<id>.1.<source>.<size>.<filesystem>.<cluster>.<time>`. So the cut and its record are one
 * act of Btrfs, and the record outlives the source, its disk item and every process. A read-only subvolume takes no file, and RouterOS gives a
 * subvolume no comment. A name has at most 255 bytes.
 */
const VERSION = "1";
const NONE = "none";
const FORM =
  /^(?<id>snap-[0-9a-f]{28})\.1\.(?<source>[a-z]{3}-[0-9a-f-]{28,36})\.(?<size>[1-9]\d{0,18})\.(?<fs>[a-z0-9]+)\.(?<cluster>[A-Za-z0-9_-]{1,80})\.(?<time>[1-9]\d{0,18})$/;

/** Longest cluster id that stands in a name as it is. */
const CLUSTER_LENGTH = 64;

/** A cluster id as part of a name: itself, or a hash where it is long or has other characters. */
export function clusterToken(cluster: string): string {
  if (/^[A-Za-z0-9-]+$/.test(cluster) && cluster.length <= CLUSTER_LENGTH) return cluster;
  return `_${createHash("sha256").update(cluster, "utf8").digest("hex").slice(0, 32)}`;
}

/** The name of a snapshot without its time, which the RDS appends at the cut. */
export function snapshotNamePrefix(record: Omit<SnapshotRecord, "createdNs">): string {
  const { id, source, sizeBytes, filesystem, cluster } = record;
  return [id, VERSION, source, sizeBytes, filesystem ?? NONE, cluster, ""].join(".");
}

/** The last component of the name of a snapshot's subvolume. */
export function encodeSnapshotName(record: SnapshotRecord): string {
  return `${snapshotNamePrefix(record)}${record.createdNs}`;
}

/** A subvolume's name as record of a snapshot. `foreign`: none of ours; `unreadable`: our form, of a newer driver or damaged. */
export type DecodedSnapshot =
  | { readonly kind: "snapshot"; readonly record: SnapshotRecord }
  | { readonly kind: "unreadable"; readonly id: SnapshotId }
  | { readonly kind: "foreign" };

/** Reads the last component of a subvolume's name. */
export function decodeSnapshotName(name: string): DecodedSnapshot {
  const id = parseSnapshotId(name.slice(0, Math.max(0, name.indexOf("."))));
  if (id === undefined) return { kind: "foreign" };
  const { source: text = "", size = "", fs = "", cluster = "", time = "" } = FORM.exec(name)?.groups ?? {};
  const source = parseVolumeId(text);
  const filesystem = FILESYSTEMS.find((known) => known === fs);
  if (source === undefined || (filesystem === undefined && fs !== NONE)) return { kind: "unreadable", id };
  const record = { id, source, sizeBytes: BigInt(size), filesystem, cluster, createdNs: BigInt(time) };
  return { kind: "snapshot", record };
}
