import { isClusterUid } from "../domain/cluster-id.ts";
import type { AttachmentView } from "../kubernetes/port.ts";
import type { NamedSnapshot, NamedVolume } from "../kubernetes/storage-names.ts";
import type { Inventory, LeftDetails } from "../rds/inventory.ts";
import type { Layout } from "../rds/layout.ts";
import { isOf } from "../rds/snapshot-names.ts";
import type { Installation } from "./facts.ts";

/** Everything by which orphans are told. All of it is known: who could not read a part of it has no world, and so no orphans. */
export interface OrphanWorld {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly installation: Installation & { readonly clusterId: string };
  readonly layout: Layout;
  readonly inventory: Inventory;
  /** Of any driver. */
  readonly volumes: readonly NamedVolume[];
  readonly attachments: readonly AttachmentView[];
  /** undefined: the cluster does not serve VolumeSnapshots. */
  readonly snapshots: readonly NamedSnapshot[] | undefined;
  /** Handles whose records the controller has kept in this cluster. */
  readonly kept: ReadonlySet<string>;
  /** What `/file` says of the files that are left, by path. */
  readonly details: ReadonlyMap<string, LeftDetails>;
}

/** Why only a person can say that something with a record of this cluster id is this cluster's; empty: the record proves it. */
export function clusterGaps({ installation: { clusterId } }: Pick<OrphanWorld, "installation">): string[] {
  return isClusterUid(clusterId)
    ? []
    : [`the cluster id ${clusterId} was chosen, and another cluster may have it, too: name it to delete it`];
}

/** The ids of other clusters that have something on the RDS, or may have. */
export function otherClusters({ inventory, installation }: OrphanWorld): readonly string[] {
  const { clusterId } = installation;
  const disks = inventory.survey.foreign.flatMap(({ id, cause }) =>
    cause === "other-cluster" || cause === "former-id" ? [id] : [],
  );
  const snapshots = inventory.snapshots.flatMap(({ record }) => (isOf(clusterId, record) ? [] : [record.id]));
  return [...disks, ...snapshots];
}

/** The VolumeAttachments whose PersistentVolume is gone. */
export function leftAttachments({
  volumes,
  attachments,
}: Pick<OrphanWorld, "volumes" | "attachments">): OrphanWorld["attachments"] {
  const names = new Set(volumes.map(({ name }) => name));
  return attachments.filter(({ pvName }) => pvName === undefined || !names.has(pvName));
}
