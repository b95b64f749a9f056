import type { V1PersistentVolume, V1Pod, V1VolumeAttachment } from "@kubernetes/client-node";
import type { AttachErrorView, AttachmentView, PersistentVolumeView, PodView } from "./port.ts";
import { parseQuantity } from "./quantity.ts";

/** From API objects to the driver's views. */

/** Milliseconds since the Unix epoch; 0 when it is no time. */
export function timeOf(value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : Date.parse(String(value ?? ""));
  return Number.isNaN(ms) ? 0 : ms;
}

function errorView(error: { message?: string; time?: Date } | undefined): AttachErrorView | undefined {
  if (error === undefined) return undefined;
  const at = timeOf(error.time);
  return { message: error.message ?? "", time: at === 0 ? undefined : new Date(at).toISOString() };
}

/** Undefined for VolumeAttachments of other drivers. */
export function attachmentView(driver: string, object: V1VolumeAttachment): AttachmentView | undefined {
  const { metadata, spec, status } = object;
  if (spec?.attacher !== driver) return undefined;
  return {
    name: metadata?.name ?? "",
    node: spec.nodeName,
    pvName: spec.source?.persistentVolumeName,
    attached: status?.attached === true,
    deleting: metadata?.deletionTimestamp !== undefined,
    metadata: status?.attachmentMetadata ?? {},
    attachError: errorView(status?.attachError),
    detachError: errorView(status?.detachError),
    createdAt: timeOf(metadata?.creationTimestamp) || undefined,
  };
}

/** Undefined for PersistentVolumes of other drivers. */
export function persistentVolumeView(
  driver: string,
  object: V1PersistentVolume,
): PersistentVolumeView | undefined {
  const { metadata, spec, status } = object;
  if (spec?.csi?.driver !== driver) return undefined;
  const { name, namespace, uid } = spec.claimRef ?? {};
  const bound = name !== undefined && namespace !== undefined && uid !== undefined && uid !== "";
  return {
    name: metadata?.name ?? "",
    handle: spec.csi.volumeHandle,
    claim: bound ? { namespace, name, uid } : undefined,
    storageClass: spec.storageClassName || undefined,
    accessModes: spec.accessModes ?? [],
    volumeMode: spec.volumeMode === "Block" ? "Block" : "Filesystem",
    phase: status?.phase ?? "Pending",
    deleting: metadata?.deletionTimestamp !== undefined,
    capacityBytes: parseQuantity(spec.capacity?.storage),
    reclaimPolicy: spec.persistentVolumeReclaimPolicy ?? "Retain",
    createdAt: timeOf(metadata?.creationTimestamp) || undefined,
    deletedAt: timeOf(metadata?.deletionTimestamp) || undefined,
    readOnly: spec.csi.readOnly === true ? true : undefined,
    fsType: spec.csi.fsType || undefined,
    attributes: spec.csi.volumeAttributes,
  };
}

export function podView(object: V1Pod): PodView {
  const { metadata, spec, status } = object;
  return {
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    node: spec?.nodeName || undefined,
    phase: status?.phase ?? "Unknown",
    terminating: metadata?.deletionTimestamp !== undefined,
    labels: metadata?.labels ?? {},
    owners: (metadata?.ownerReferences ?? []).map(({ apiVersion, kind, name, uid, controller }) => ({
      apiVersion,
      kind,
      name,
      uid,
      controller: controller === true,
    })),
  };
}

/** The claims that a pod names, by their names in its namespace; the claim of a generic ephemeral volume is `<pod>-<volume>`. */
export function claimsOf({ metadata, spec }: V1Pod): readonly string[] {
  return (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) => {
    if (persistentVolumeClaim !== undefined) return [persistentVolumeClaim.claimName];
    return ephemeral === undefined ? [] : [`${metadata?.name}-${name}`];
  });
}
