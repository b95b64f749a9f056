import type { Capability, Filesystem } from "../domain/access-mode.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { SnapshotHandle } from "../domain/snapshot-id.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Rds } from "../rds/rds.ts";

/** The volume_content_source of CreateVolume. */
export type ContentSource =
  | { readonly kind: "snapshot"; readonly id: SnapshotHandle }
  | { readonly kind: "volume"; readonly id: VolumeId };

/** A source as it is on the RDS. */
export interface FoundSource {
  /** As messages name it. */
  readonly name: string;
  /** Slot of the pool that it is on, and of all that is made from it. */
  readonly pool: string;
  /** Path of its subvolume within the filesystem. */
  readonly subvolume: string;
  readonly sizeBytes: bigint;
  /** The filesystem that it was given; undefined: none, or a raw block volume. */
  readonly filesystem: Filesystem | undefined;
}

/**
 * Looks a source up. One RouterOS command, two for a volume that does not exist.
 * @throws snapshotNotFound, volumeNotFound (NOT_FOUND); snapshotForeign, sourceNotSubvolume, recordUnusable, foreignDisk,
 *   volumeConverting (FAILED_PRECONDITION); sourcePoolAway, snapshotPoolAway (UNAVAILABLE)
 */
export async function findSource(
  { snapshots: store, conversions }: Pick<Rds, "snapshots" | "conversions">,
  source: ContentSource,
  signal: AbortSignal,
): Promise<FoundSource> {
  const name = sourceName(source);
  if (source.kind === "volume") {
    const found = await store.source(source.id, signal);
    if (found === undefined) return conversions.absent(source.id, signal);
    const { volume, pool, subvolume } = found;
    const { disk, record } = volume;
    const { filesystem } = record;
    return { name, pool: pool.slot, subvolume: subvolume.name, sizeBytes: disk.size ?? 0n, filesystem };
  }
  const { snapshot, pool } = await store.find(source.id, signal);
  if (snapshot === undefined) throw failure("snapshotNotFound", { snapshot: source.id });
  const { record, subvolume } = snapshot;
  const { sizeBytes, filesystem } = record;
  return { name, pool, subvolume: subvolume.name, sizeBytes, filesystem };
}

/** A source as messages name it. */
export function sourceName({ kind, id }: ContentSource): string {
  return `${kind} ${id}`;
}

/**
 * Requires that a capability asks for no other filesystem than the source holds.
 * @throws sourceFilesystem (INVALID_ARGUMENT)
 */
export function requireSameFilesystem(
  { name, filesystem }: FoundSource,
  capabilities: readonly Capability[],
): void {
  for (const { accessType, fsType } of capabilities) {
    if (accessType !== "mount" || fsType === "" || filesystem === undefined || fsType === filesystem)
      continue;
    throw failure("sourceFilesystem", { source: name, has: filesystem, asked: fsType });
  }
}
