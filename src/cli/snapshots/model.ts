import type { Filesystem } from "../../domain/access-mode.ts";
import type { SnapshotContentView } from "../../kubernetes/volume-snapshots.ts";

export const SNAPSHOT_STATES = ["missing", "unnamed", "named", "unknown"] as const;

/**
 * - `named`: a VolumeSnapshotContent of the cluster names it
 * - `unnamed`: none does; the driver never removes it by itself
 * - `missing`: a VolumeSnapshotContent names it, and no mounted pool has it
 * - `unknown`: the cluster was not asked, or did not answer
 */
export type SnapshotState = (typeof SNAPSHOT_STATES)[number];

/** A snapshot as `rds-csi snapshots list` shows it; the input of every renderer. */
export interface ListedSnapshot {
  readonly handle: string;
  readonly state: SnapshotState;
  readonly source: {
    /** Handle of the volume that was cut; undefined: nothing says it. */
    readonly handle: string | undefined;
    /** Whether that volume is still on the RDS. */
    readonly exists: boolean;
  };
  /** The claim of the source; undefined when the source is gone or has none. */
  readonly pvc: { readonly namespace: string; readonly name: string } | undefined;
  /** Of the source at the cut. Bytes; 0 when it is not known. */
  readonly sizeBytes: bigint;
  /** The filesystem that the driver had made on the source, else `block`; undefined when it is not known. */
  readonly content: Filesystem | "block" | undefined;
  /** Time of the cut: RFC 3339, UTC. */
  readonly createdAt: string | undefined;
  /** `slot` is undefined while no mounted disk has the label. */
  readonly pool: { readonly slot: string | undefined; readonly label: string } | undefined;
  /** Path of its subvolume in the filesystem; "" when it is missing. */
  readonly path: string;
  /** The objects that name it; empty also while the cluster is not known. */
  readonly contents: readonly SnapshotContentView[];
}

/** Whether a person should look: nothing names it, or it is not there. */
export function needsLook({ state }: Pick<ListedSnapshot, "state">): boolean {
  return state === "missing" || state === "unnamed";
}

/** The claim of the source as `namespace/name`; undefined without one. */
export function sourceClaim({ pvc }: Pick<ListedSnapshot, "pvc">): string | undefined {
  return pvc === undefined ? undefined : `${pvc.namespace}/${pvc.name}`;
}

/** The VolumeSnapshots that name it, as `namespace/name`. */
export function volumeSnapshots({ contents }: Pick<ListedSnapshot, "contents">): string[] {
  return contents.map(({ snapshot: { namespace, name } }) => `${namespace}/${name}`);
}

/** Bytes that snapshots may hold at most. RouterOS shows no bytes that a subvolume alone holds. */
export function bytesAtMost(snapshots: readonly Pick<ListedSnapshot, "sizeBytes" | "state">[]): bigint {
  return snapshots.reduce((sum, { sizeBytes, state }) => sum + (state === "missing" ? 0n : sizeBytes), 0n);
}
