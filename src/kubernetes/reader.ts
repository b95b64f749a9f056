import { failure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";
import { KubevirtReader } from "./kubevirt.ts";
import { isObjectName } from "./names.ts";
import type { AttachmentView, ClaimRef, ClusterReader, PersistentVolumeView, PodView } from "./port.ts";
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

/** The cluster through the API. Each answer is the API server's at the time of the call: nothing is remembered. */
export class ApiClusterReader implements ClusterReader {
  readonly #api: KubernetesApi;
  readonly #driver: string;
  readonly #kubevirt: KubevirtReader;

  /** @param driver CSI driver name: objects of other drivers are left out */
  constructor(api: KubernetesApi, driver: string) {
    this.#api = api;
    this.#driver = driver;
    this.#kubevirt = new KubevirtReader(api);
  }

  async nodeExists(name: string, signal: AbortSignal): Promise<boolean> {
    if (!isObjectName(name)) return false;
    const found = await this.#api.find(
      { verb: "get", resource: `node ${name}` },
      signal,
      (options) => this.#api.core.readNode({ name }, options),
      ONE_NODE,
    );
    return found !== undefined;
  }

  async nodes(signal: AbortSignal): Promise<readonly string[]> {
    const { core } = this.#api;
    const all = await this.#api.list(
      "nodes",
      signal,
      (page, options) => core.listNode(page, options),
      ALL_NODES,
    );
    return all.flatMap(({ metadata }) => metadata?.name ?? []);
  }

  async volumeAttachments(signal: AbortSignal): Promise<readonly AttachmentView[]> {
    const { storage } = this.#api;
    const all = await this.#api.list("volumeattachments", signal, (page, options) =>
      storage.listVolumeAttachment(page, options),
    );
    return all.flatMap((object) => attachmentView(this.#driver, object) ?? []);
  }

  async persistentVolumes(signal: AbortSignal): Promise<readonly PersistentVolumeView[]> {
    const { core } = this.#api;
    const all = await this.#api.list("persistentvolumes", signal, (page, options) =>
      core.listPersistentVolume(page, options),
    );
    return all.flatMap((object) => persistentVolumeView(this.#driver, object) ?? []);
  }

  async persistentVolumeByHandle(
    handle: string,
    signal: AbortSignal,
  ): Promise<PersistentVolumeView | undefined> {
    return volumeOfHandle(handle, await this.persistentVolumes(signal));
  }

  async podsUsingClaim(
    { namespace, name }: Pick<ClaimRef, "namespace" | "name">,
    signal: AbortSignal,
  ): Promise<readonly PodView[]> {
    const { core } = this.#api;
    const using = await this.#api.list(
      `pods in namespace ${namespace}`,
      signal,
      (page, options) => core.listNamespacedPod({ namespace, fieldSelector: UNENDED, ...page }, options),
      { keep: (pod) => claimsOf(pod).includes(name) },
    );
    return using.map(podView);
  }

  async claimUid(
    { namespace, name }: Pick<ClaimRef, "namespace" | "name">,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    const found = await this.#api.find(
      { verb: "get", resource: `persistentvolumeclaim ${namespace}/${name}` },
      signal,
      (options) => this.#api.core.readNamespacedPersistentVolumeClaim({ namespace, name }, options),
    );
    return found?.metadata?.uid;
  }

  async pod(namespace: string, name: string, signal: AbortSignal): Promise<PodView | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    const found = await this.#api.find(
      { verb: "get", resource: `pod ${namespace}/${name}` },
      signal,
      (options) => this.#api.core.readNamespacedPod({ namespace, name }, options),
    );
    return found === undefined ? undefined : podView(found);
  }

  virtualMachineInstance(...args: Parameters<ClusterReader["virtualMachineInstance"]>) {
    return this.#kubevirt.virtualMachineInstance(...args);
  }

  migrationsOf(...args: Parameters<ClusterReader["migrationsOf"]>) {
    return this.#kubevirt.migrationsOf(...args);
  }

  migrationConfig(...args: Parameters<ClusterReader["migrationConfig"]>) {
    return this.#kubevirt.migrationConfig(...args);
  }
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
