import type { AttachmentView, ClusterReader, PersistentVolumeView } from "../kubernetes/port.ts";
import type { Rds } from "../rds/rds.ts";
import type { ForeignDisk, RdsVolume } from "../rds/volume.ts";
import type { DriftKind } from "./migration-metrics.ts";

/** Something on which a volume's record, its export and the cluster disagree. */
export interface Drift {
  readonly kind: DriftKind;
  readonly volume: Pick<RdsVolume, "id">;
  readonly node: string | undefined;
  /** What is wrong, for an event and for `volumes list`. */
  readonly text: string;
}

/** The cluster's side of all attachments. */
export interface ClusterView {
  readonly attachments: readonly AttachmentView[];
  readonly persistentVolumes: readonly PersistentVolumeView[];
}

/** Kinds that are found by comparing with the cluster. */
export const CLUSTER_KINDS: readonly DriftKind[] = [
  "attachment-without-va",
  "va-without-attachment",
  "attachment-without-pv",
  "record-unusable",
];

/** Reads the cluster's side. @throws as ClusterReader does */
export async function readClusterView(
  cluster: Pick<ClusterReader, "volumeAttachments" | "persistentVolumes">,
  signal: AbortSignal,
): Promise<ClusterView> {
  const [attachments, persistentVolumes] = await Promise.all([
    cluster.volumeAttachments(signal),
    cluster.persistentVolumes(signal),
  ]);
  return { attachments, persistentVolumes };
}

/** Where export and record disagree. */
export function exportDrift(rds: Pick<Rds, "exportIsRight">, volume: RdsVolume): Drift[] {
  if (rds.exportIsRight(volume)) return [];
  const attached = volume.record.attachments.length > 0;
  return [
    attached
      ? {
          kind: "not-exported",
          volume,
          node: undefined,
          text: "It is attached according to its record, but not exported as it should be",
        }
      : {
          kind: "exported-unattached",
          volume,
          node: undefined,
          text: "It is exported, but attached to no node",
        },
  ];
}

/**
 * Where the record and the cluster's VolumeAttachments disagree. Of a volume that no PersistentVolume names nothing is
 * concluded: its VolumeAttachments would be in the cluster of its PersistentVolume, which may be another one.
 */
export function attachmentDrift(volume: RdsVolume, cluster: ClusterView): Drift[] {
  const recorded = volume.record.attachments.map(({ node }) => node);
  const wanted = attachmentsOf(volume, cluster);
  if (wanted === undefined) return recorded.map((node) => withoutPv(volume, node, cluster));
  const withoutVa = recorded
    .filter((node) => !wanted.some((attachment) => attachment.node === node))
    .map(
      (node): Drift => ({
        kind: "attachment-without-va",
        volume,
        node,
        text: `It is attached to ${node}, which has no VolumeAttachment for it`,
      }),
    );
  const withoutRecord = wanted
    // Being attached or detached: the call is on its way.
    .filter((attachment) => isWanted(attachment) && !recorded.includes(attachment.node))
    .map(
      ({ node }): Drift => ({
        kind: "va-without-attachment",
        volume,
        node,
        text: `Node ${node} has a VolumeAttachment, but the volume is not attached to it according to the record`,
      }),
    );
  return [...withoutVa, ...withoutRecord];
}

/** The nodes that the cluster wants the volume on: their VolumeAttachments are attached and are to stay. */
export function wantedNodes(volume: Pick<RdsVolume, "id">, cluster: ClusterView): ReadonlySet<string> {
  return new Set((attachmentsOf(volume, cluster) ?? []).filter(isWanted).map(({ node }) => node));
}

/** A disk that cannot be used as a volume, although a PersistentVolume of this cluster names it. */
export function unusableDrift({ id, reason }: ForeignDisk, cluster: ClusterView): Drift[] {
  const pv = cluster.persistentVolumes.find(({ handle }) => handle === id);
  if (pv === undefined) return [];
  const text = `PersistentVolume ${pv.name} names it, but ${reason}`;
  return [{ kind: "record-unusable", volume: { id }, node: undefined, text }];
}

/** The VolumeAttachments of a volume; undefined when no PersistentVolume of this cluster names it. */
function attachmentsOf({ id }: Pick<RdsVolume, "id">, cluster: ClusterView): AttachmentView[] | undefined {
  const names = new Set(
    cluster.persistentVolumes.filter(({ handle }) => handle === id).map(({ name }) => name),
  );
  if (names.size === 0) return undefined;
  return cluster.attachments.filter(({ pvName }) => pvName !== undefined && names.has(pvName));
}

function isWanted({ attached, deleting }: AttachmentView): boolean {
  return attached && !deleting;
}

/**
 * The external-attacher needs the PersistentVolume to detach, so a VolumeAttachment without one stays, and the export with it.
 * It is recognised by the NQN that it was told, else by the name: the provisioner calls the PersistentVolume as the volume.
 */
function withoutPv(volume: RdsVolume, node: string, { attachments }: ClusterView): Drift {
  const { id, disk, record } = volume;
  const left = attachments.find(
    (each) =>
      each.node === node &&
      each.pvName !== undefined &&
      (each.nqn === undefined || each.nqn === "" ? each.pvName === record.name : each.nqn === disk.nqn),
  );
  const text =
    left === undefined
      ? `It is attached to ${node}, and no PersistentVolume of this cluster names it: another cluster has the same cluster id, or the PersistentVolume was deleted by force`
      : `It is attached to ${node}: VolumeAttachment ${left.name} is there, but its PersistentVolume ${left.pvName} is gone, so that Kubernetes cannot detach it; make the PersistentVolume ${left.pvName} with volumeHandle ${id} and policy Retain again`;
  return { kind: "attachment-without-pv", volume, node, text };
}
