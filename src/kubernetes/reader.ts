import { failure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";
import { kubevirtReader } from "./kubevirt.ts";
import { isObjectName } from "./names.ts";
import type { ClusterReader, PersistentVolumeView } from "./port.ts";
import { attachmentView, claimsOf, persistentVolumeView, podView } from "./views.ts";

/** Nodes are large and only their names are wanted, so only metadata is asked for. */
const METADATA = "g=meta.k8s.io;v=v1";
const ONE_NODE = {
  headers: { Accept: `application/json;as=PartialObjectMetadata;${METADATA}, application/json` },
};
const ALL_NODES = {
  headers: { Accept: `application/json;as=PartialObjectMetadataList;${METADATA}, application/json` },
};
/** Pods that have not ended. */
const UNENDED = "status.phase!=Succeeded,status.phase!=Failed";

/**
 * The cluster through the API. Each answer is the API server's at the time of the call: nothing is remembered.
 * @param driver CSI driver name: objects of other drivers are left out
 */
export function clusterReader(api: KubernetesApi, driver: string): ClusterReader {
  const { core, storage } = api;
  const persistentVolumes = async (signal: AbortSignal): Promise<readonly PersistentVolumeView[]> => {
    const all = await api.list("persistentvolumes", signal, (page, options) =>
      core.listPersistentVolume(page, options),
    );
    return all.flatMap((object) => persistentVolumeView(driver, object) ?? []);
  };
  return {
    ...kubevirtReader(api),
    persistentVolumes,
    nodeExists: async (name, signal) => {
      if (!isObjectName(name)) return false;
      const found = await api.find(
        { verb: "get", resource: `node ${name}` },
        signal,
        (options) => core.readNode({ name }, options),
        ONE_NODE,
      );
      return found !== undefined;
    },
    nodes: async (signal) => {
      const all = await api.list("nodes", signal, (page, options) => core.listNode(page, options), ALL_NODES);
      return all.flatMap(({ metadata }) => metadata?.name ?? []);
    },
    volumeAttachments: async (signal) => {
      const all = await api.list("volumeattachments", signal, (page, options) =>
        storage.listVolumeAttachment(page, options),
      );
      return all.flatMap((object) => attachmentView(driver, object) ?? []);
    },
    persistentVolumeByHandle: async (handle, signal) =>
      volumeOfHandle(handle, await persistentVolumes(signal)),
    podsUsingClaim: async ({ namespace, name }, signal) => {
      const using = await api.list(
        `pods in namespace ${namespace}`,
        signal,
        (page, options) => core.listNamespacedPod({ namespace, fieldSelector: UNENDED, ...page }, options),
        { keep: (pod) => claimsOf(pod).includes(name) },
      );
      return using.map(podView);
    },
    claimUid: async ({ namespace, name }, signal) =>
      (await api.findClaim(namespace, name, signal))?.metadata?.uid,
    pod: async (namespace, name, signal) => {
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const found = await api.find({ verb: "get", resource: `pod ${namespace}/${name}` }, signal, (options) =>
        core.readNamespacedPod({ namespace, name }, options),
      );
      return found && podView(found);
    },
  };
}

/**
 * Of several PersistentVolumes with one handle the bound one counts: others are left-overs with policy Retain.
 * @throws persistentVolumeAmbiguous if several are bound
 */
export function volumeOfHandle(
  handle: string,
  volumes: readonly PersistentVolumeView[],
): PersistentVolumeView | undefined {
  const same = volumes.filter((volume) => volume.handle === handle);
  if (same.length <= 1) return same[0];
  const bound = same.filter((volume) => volume.phase === "Bound");
  if (bound.length === 1) return bound[0];
  throw failure("persistentVolumeAmbiguous", { volume: handle, names: same.map(({ name }) => name).sort() });
}
