import { parseSnapshotHandle } from "../domain/snapshot-id.ts";
import { isMountedPool } from "../rds/pool.ts";
import { handleOf, isOf, type RdsSnapshot } from "../rds/snapshot-names.ts";
import { ORPHAN_GRACE_SECONDS, type Orphan, tooYoung, verdict } from "./orphan.ts";
import { clusterGaps, type OrphanWorld } from "./orphan-world.ts";

const NS_PER_S = 1_000_000_000n;

/** The snapshots of this installation that no VolumeSnapshotContent names. */
export function orphanedSnapshots(world: OrphanWorld): Orphan[] {
  const { inventory, installation, snapshots, layout } = world;
  // A content that has no handle yet is known by its snapshot's id.
  const names = new Set(snapshots?.flatMap(({ handles }) => handles));
  const own = inventory.snapshots.filter(({ record }) => isOf(installation.clusterId, record));
  const left = [...Map.groupBy(own, handleOf)].filter(
    ([handle, [first]]) => !names.has(handle) && first !== undefined && !names.has(first.record.id),
  );
  return left
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([handle, [first, another]]): Orphan[] => {
      if (first === undefined) return [];
      const { record, subvolume } = first;
      const pools = inventory.survey.mounted.filter(
        (disk) => isMountedPool(disk) && disk.fsLabel === subvolume.label,
      );
      const pool = pools.length === 1 ? pools[0] : undefined;
      return [
        {
          ...{ kind: "snapshot", name: handle, pool: pool?.slot, sizeBytes: record.sizeBytes },
          path: pool === undefined ? subvolume.name : `${pool.mountPoint}/${subvolume.name}`,
          since: Number(record.createdNs / NS_PER_S),
          reason: `no VolumeSnapshotContent names it; it is of volume ${record.source}`,
          ...verdict(
            [
              ...(subvolume.name.startsWith(`${layout.directory}/`)
                ? []
                : ["it is not in the folder of the volumes"]),
              ...(another === undefined ? [] : ["two subvolumes have its handle"]),
              ...againstSnapshot(world, first, pool !== undefined),
            ],
            clusterGaps(world),
            "its name has the id of this cluster, and nothing uses it",
          ),
          comment: undefined,
        },
      ];
    });
}

function againstSnapshot(
  { now, inventory, snapshots }: OrphanWorld,
  snapshot: RdsSnapshot,
  isOnPool: boolean,
): string[] {
  const { record, subvolume } = snapshot;
  const handle = handleOf(snapshot);
  const sources: readonly string[] = [handle, record.id];
  const copying = inventory.survey.volumes.find(
    ({ record: { copy, source } }) => copy !== undefined && source !== undefined && sources.includes(source),
  );
  return [
    ...(snapshots === undefined
      ? ["the cluster serves no VolumeSnapshots, so it cannot say whether one names it"]
      : []),
    ...(subvolume.readOnly ? [] : ["its subvolume is not read-only: somebody has changed that"]),
    ...(parseSnapshotHandle(handle) === undefined
      ? ["the label of its filesystem cannot be in a handle"]
      : []),
    ...(isOnPool ? [] : ["no single mounted pool has the label of its filesystem"]),
    ...(copying === undefined ? [] : [`volume ${copying.id} is made from it`]),
    ...tooYoung(now / 1_000 - Number(record.createdNs / NS_PER_S), ORPHAN_GRACE_SECONDS),
  ];
}
