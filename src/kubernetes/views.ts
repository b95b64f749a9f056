import type { V1PersistentVolume, V1Pod, V1VolumeAttachment } from "@kubernetes/client-node";
import type { AttachmentView, PersistentVolumeView, PodView } from "./port.ts";

/** From API objects to the driver's views. Of dates only the presence is read. */

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
    nqn: status?.attachmentMetadata?.nqn,
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

/** Whether a pod names the claim in any volume; the claim of a generic ephemeral volume is `<pod>-<volume>`. */
export function usesClaim(pod: V1Pod, claim: string): boolean {
  return (pod.spec?.volumes ?? []).some(
    (volume) =>
      volume.persistentVolumeClaim?.claimName === claim ||
      (volume.ephemeral !== undefined && `${pod.metadata?.name}-${volume.name}` === claim),
  );
}
