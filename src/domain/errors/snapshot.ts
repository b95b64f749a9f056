import { entry, type List, REPEATED } from "./entry.ts";

/** Failures of snapshots, and of volumes that are made from a snapshot or volume. */
export const snapshotErrors = {
  snapshotNotFound: entry.NOT_FOUND<{ snapshot: string }>(
    (p) => `snapshot ${p.snapshot} does not exist on the RDS`,
    "Check the snapshot handle; `rds-csi snapshots list` shows what exists.",
  ),
  snapshotNameUnknown: entry.NOT_FOUND<{ name: string; looked: List }>(
    (p) => `no snapshot is called ${JSON.stringify(p.name)}: ${p.looked.join("; ")}`,
    "Name a snapshot handle, a VolumeSnapshot as namespace/name, or a VolumeSnapshotContent; `rds-csi snapshots list -o wide` shows them.",
  ),
  snapshotNameAmbiguous: entry.FAILED_PRECONDITION<{ name: string; candidates: List }>(
    (p) =>
      `${JSON.stringify(p.name)} fits ${p.candidates.length} snapshots: ${p.candidates.slice(0, 10).join(", ")}`,
    "Name one of them by its handle, or by more of its name.",
  ),
  pruneNeedsCluster: entry.FAILED_PRECONDITION<{ reason: string }>(
    (p) => `snapshots are pruned in Kubernetes only, and there is no cluster: ${p.reason}`,
    "Set --orchestrator kubernetes, outside of a pod with --kubeconfig. The command deletes VolumeSnapshots; it never removes a snapshot from the RDS behind Kubernetes' back.",
  ),
  pruneClocksDiffer: entry.FAILED_PRECONDITION<{ kept: List; apart: List }>(
    (p) =>
      `the clocks of Kubernetes and the RDS disagree on the age of VolumeSnapshots, so these are kept: ${p.kept.slice(0, 10).join(", ")}. The two times of these are far apart: ${p.apart.slice(0, 10).join(", ")}`,
    "Set the clock of the RDS by NTP (`/system/clock/print`, `/system/ntp/client/print`): it was wrong at those cuts, or they came late. Then delete those that you do not need with kubectl. Prune deletes what both clocks call old, as ever.",
  ),
  snapshotsNotServed: entry.FAILED_PRECONDITION<Record<never, never>>(
    () => "the cluster has no VolumeSnapshots: the CRDs of external-snapshotter are not installed",
    "Install the CRDs and the snapshot-controller of external-snapshotter.",
  ),
  snapshotExistsDifferently: entry.ALREADY_EXISTS<{ name: string; difference: string }>(
    (p) => `a snapshot with name ${JSON.stringify(p.name)} exists already: ${p.difference}`,
    "Delete that snapshot first, or use another name.",
  ),
  snapshotParameter: entry.INVALID_ARGUMENT<{ key: string }>(
    (p) => `VolumeSnapshotClass parameter ${JSON.stringify(p.key)} is unknown: there are no parameters`,
    "Remove the parameter; a VolumeSnapshotClass is changed by creating it anew.",
  ),
  snapshotForeign: entry.FAILED_PRECONDITION<{ snapshot: string; reason: string }>(
    (p) => `snapshot ${p.snapshot} on the RDS is not one of this installation: ${p.reason}`,
    "The driver never changes or reads it. Find its owner: compare --cluster-id, and the name of its subvolume (`/disk/btrfs/subvolume/print`).",
  ),
  snapshotPending: entry.UNAVAILABLE<{ snapshot: string; seconds: number }>(
    (p) =>
      `snapshot ${p.snapshot} is removed, but a command that makes it may still wait on the RDS, for ${p.seconds} s at most`,
    "Nothing to do.",
    "The repeated call removes the snapshot again if that command has run.",
  ),
  snapshotPoolAway: entry.UNAVAILABLE<{ snapshot: string; pool: string }>(
    (p) =>
      `whether snapshot ${p.snapshot} exists is not known: pool ${JSON.stringify(p.pool)}, which may hold it, is not mounted on the RDS`,
    "Mount the pool; a handle ends with the label of its filesystem, so give a label that was changed back to it. If the pool is gone for good, so is the snapshot: set deletionPolicy of its VolumeSnapshotContent to Retain, then delete the VolumeSnapshot. If it was the pool of --pool, set another one.",
    REPEATED,
  ),
  snapshotRoom: entry.RESOURCE_EXHAUSTED<{ pool: string; free: string; reserve: string }>(
    (p) =>
      `pool ${p.pool} has ${p.free} free, less than the reserve of ${p.reserve}: a snapshot keeps the space of all data that is overwritten later`,
    "Delete snapshots or volumes, extend the pool, or lower --reserve-bytes.",
  ),
  layoutUnsupported: entry.FAILED_PRECONDITION<{ pool: string; reason: string }>(
    (p) => `pool ${p.pool} cannot hold volumes with the layout subvolume: ${p.reason}`,
    "Use a Btrfs pool with a label of at most 64 letters, digits and `._:@+-`, or the StorageClass parameter layout: plain; volumes of that layout cannot be snapshotted.",
  ),
  labelAmbiguous: entry.FAILED_PRECONDITION<{ pool: string; label: string }>(
    (p) =>
      `the label ${p.label} of pool ${p.pool} is not that of exactly one Btrfs filesystem of the RDS, so it does not say where a subvolume goes`,
    "Give each filesystem a label of its own: `/disk/btrfs/filesystem/set [find where uuid=<uuid>] label=<label>`.",
  ),
  sourceNotSubvolume: entry.FAILED_PRECONDITION<{ volume: string }>(
    (p) =>
      `volume ${p.volume} has the layout plain: its file is in no Btrfs subvolume of its own, so it cannot be snapshotted or cloned`,
    "Only volumes that were made on a Btrfs pool with the layout subvolume can. The StorageClass parameter cloneMode: copy makes a full copy of a volume that is not attached, on any pool.",
  ),
  cloneNeedsSubvolume: entry.INVALID_ARGUMENT<{ source: string }>(
    (p) => `a volume from ${p.source} shares its blocks, so it cannot have the layout plain`,
    "Use a StorageClass with layout: subvolume, or without that parameter.",
  ),
  sourceOnOtherPool: entry.INVALID_ARGUMENT<{ source: string; pool: string; asked: string }>(
    (p) =>
      `${p.source} is on pool ${p.pool}, and the StorageClass asks for pool ${p.asked}: a copy that shares blocks stays on its pool`,
    "Use a StorageClass with the pool of the source, or one without the parameter pool. With cloneMode: copy a volume that is not attached is copied to any pool.",
  ),
  sourceFilesystem: entry.INVALID_ARGUMENT<{ source: string; has: string; asked: string }>(
    (p) => `${p.source} holds ${p.has}, and ${p.asked} is asked for`,
    "Use a StorageClass with the csi.storage.k8s.io/fstype of the source.",
  ),
  sourceLarger: entry.OUT_OF_RANGE<{ source: string; sizeBytes: bigint; detail: string }>(
    (p) => `${p.source} has ${p.sizeBytes} bytes: ${p.detail}`,
    "Ask for the size of the source or more.",
  ),
  sourcePoolAway: entry.UNAVAILABLE<{ source: string }>(
    (p) => `the pool of ${p.source} is not mounted on the RDS`,
    "Mount the pool.",
    REPEATED,
  ),
} as const;
