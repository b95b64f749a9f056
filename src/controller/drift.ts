import type { AttachmentView, PersistentVolumeView } from "../kubernetes/port.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { DriftKind } from "./migration-metrics.ts";

/** Something on which a volume's record, its export and the cluster disagree. */
export interface Drift {
  readonly kind: DriftKind;
  readonly volume: RdsVolume;
  readonly node: string | undefined;
  /** What is wrong, for an event and for `volumes list`. */
  readonly text: string;
}

/** The cluster's side of all attachments. */
export interface ClusterView {
  readonly attachments: readonly AttachmentView[];
  readonly persistentVolumes: readonly PersistentVolumeView[];
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
 * Where the record and the cluster's VolumeAttachments disagree. A volume that no PersistentVolume names is left out on the
 * cluster's side: nothing is known about it.
 */
export function attachmentDrift(volume: RdsVolume, cluster: ClusterView): Drift[] {
  const pvNames = new Set(
    cluster.persistentVolumes.filter((pv) => pv.handle === volume.id).map((pv) => pv.name),
  );
  const wanted = cluster.attachments.filter(({ pvName }) => pvName !== undefined && pvNames.has(pvName));
  const recorded = volume.record.attachments.map(({ node }) => node);
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
    .filter(({ attached, deleting, node }) => attached && !deleting && !recorded.includes(node))
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
