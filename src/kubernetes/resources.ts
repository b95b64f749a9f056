import type { V1Node, V1PersistentVolume, V1VolumeAttachment } from "@kubernetes/client-node";
import type { KubernetesApi } from "./api.ts";
import type { CachedResource } from "./cache.ts";
import { type Listed, listAll, PAGE_LIMIT, toPage } from "./list.ts";
import type { AttachmentView, PersistentVolumeView } from "./port.ts";
import { attachmentView, persistentVolumeView } from "./views.ts";

/** Nodes are large and only their names are wanted, so only metadata is asked for. */
const METADATA = "as=PartialObjectMetadata;g=meta.k8s.io;v=v1";
const METADATA_LIST = "as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
export const NODE_ACCEPT = `application/json;${METADATA}, application/json`;
const NODE_LIST_ACCEPT = `application/json;${METADATA_LIST}, application/json`;

/** The cluster-wide collections that the driver follows. */
export interface Resources {
  readonly nodes: CachedResource<V1Node, string>;
  readonly volumeAttachments: CachedResource<V1VolumeAttachment, AttachmentView>;
  readonly persistentVolumes: CachedResource<V1PersistentVolume, PersistentVolumeView>;
}

/** @param driver CSI driver name: objects of other drivers are left out */
export function resourcesOf(api: KubernetesApi, driver: string): Resources {
  const paged = (next: string | undefined) => ({ limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) });
  return {
    nodes: {
      resource: "nodes",
      path: "/api/v1/nodes",
      accept: NODE_ACCEPT,
      list: (signal) =>
        listAll((next) =>
          api.attempt(signal, async (options) => toPage(await api.core.listNode(paged(next), options)), {
            headers: { Accept: NODE_LIST_ACCEPT },
          }),
        ),
      view: (node) => node.metadata?.name,
    },
    volumeAttachments: {
      resource: "volumeattachments",
      path: "/apis/storage.k8s.io/v1/volumeattachments",
      accept: "application/json",
      list: (signal) =>
        listAll((next) =>
          api.attempt(signal, async (options) =>
            toPage(await api.storage.listVolumeAttachment(paged(next), options)),
          ),
        ),
      view: (object) => attachmentView(driver, object),
    },
    persistentVolumes: {
      resource: "persistentvolumes",
      path: "/api/v1/persistentvolumes",
      accept: "application/json",
      list: (signal) =>
        listAll((next) =>
          api.attempt(signal, async (options) =>
            toPage(await api.core.listPersistentVolume(paged(next), options)),
          ),
        ),
      view: (object) => persistentVolumeView(driver, object),
    },
  };
}

/** The views of a list that was just read. */
export function viewsOf<R, V>(resource: { view: (object: R) => V | undefined }, listed: Listed<R>): V[] {
  return listed.items.flatMap((object) => resource.view(object) ?? []);
}
