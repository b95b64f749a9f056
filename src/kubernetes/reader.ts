import type { V1Pod } from "@kubernetes/client-node";
import { failure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";
import { toFailure } from "./api-error.ts";
import type { CachedResource, ResourceCache } from "./cache.ts";
import { KubevirtReader } from "./kubevirt.ts";
import { listAll, PAGE_LIMIT, toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import type { AttachmentView, ClaimRef, ClusterReader, PersistentVolumeView, PodView } from "./port.ts";
import { NODE_ACCEPT, type Resources, viewsOf } from "./resources.ts";
import { claimsOf, podView } from "./views.ts";
import type { RawObject } from "./watch.ts";

/** A collection: live, and followed by a cache if the process runs for long. */
interface Followed<V> {
  readonly resource: string;
  readonly cache: Pick<ResourceCache<RawObject, V>, "fresh" | "get" | "values">;
  readonly live: (signal: AbortSignal) => Promise<readonly V[]>;
}

function follow<R extends RawObject, V>(
  resource: CachedResource<R, V>,
  cache: ResourceCache<R, V>,
): Followed<V> {
  const live = async (signal: AbortSignal) => viewsOf(resource, await resource.list(signal));
  return { resource: resource.resource, cache, live };
}

export type Caches = {
  readonly [K in keyof Resources]: Resources[K] extends CachedResource<infer R, infer V>
    ? ResourceCache<R, V>
    : never;
};

/**
 * The cluster through the API. Collections come from their caches while those are up to date, else from the API server;
 * "absent" always comes from the API server. Pods and KubeVirt's objects are read anew each time, as attaching a second
 * node depends on them.
 */
export class ApiClusterReader implements ClusterReader {
  readonly #api: KubernetesApi;
  readonly #nodes: Followed<string>;
  readonly #attachments: Followed<AttachmentView>;
  readonly #volumes: Followed<PersistentVolumeView>;
  readonly #kubevirt: KubevirtReader;

  constructor(api: KubernetesApi, resources: Resources, caches: Caches) {
    this.#api = api;
    this.#nodes = follow(resources.nodes, caches.nodes);
    this.#attachments = follow(resources.volumeAttachments, caches.volumeAttachments);
    this.#volumes = follow(resources.persistentVolumes, caches.persistentVolumes);
    this.#kubevirt = new KubevirtReader(api);
  }

  /** A node that the cache knows exists; a stale "exists" refuses more than it should, never less. */
  async nodeExists(name: string, signal: AbortSignal): Promise<boolean> {
    if (this.#nodes.cache.get(name) !== undefined) return true;
    if (!isObjectName(name)) return false;
    const found = await this.#api.find(
      { verb: "get", resource: `node ${name}` },
      signal,
      (options) => this.#api.core.readNode({ name }, options),
      { headers: { Accept: NODE_ACCEPT } },
    );
    return found !== undefined;
  }

  nodes(signal: AbortSignal): Promise<readonly string[]> {
    return this.#all(this.#nodes, signal);
  }

  volumeAttachments(signal: AbortSignal): Promise<readonly AttachmentView[]> {
    return this.#all(this.#attachments, signal);
  }

  persistentVolumes(signal: AbortSignal): Promise<readonly PersistentVolumeView[]> {
    return this.#all(this.#volumes, signal);
  }

  async persistentVolumeByHandle(
    handle: string,
    signal: AbortSignal,
  ): Promise<PersistentVolumeView | undefined> {
    const cached = this.#volumes.cache.fresh
      ? volumeOfHandle(handle, this.#volumes.cache.values())
      : undefined;
    return cached ?? volumeOfHandle(handle, await this.#live(this.#volumes, signal));
  }

  async podsUsingClaim(
    { namespace, name }: Pick<ClaimRef, "namespace" | "name">,
    signal: AbortSignal,
  ): Promise<readonly PodView[]> {
    const using: PodView[] = [];
    const pods = await this.#call(`pods in namespace ${namespace}`, signal, () =>
      listAll<V1Pod>(async (next) =>
        this.#api.attempt(signal, async (options) => {
          const page = toPage(
            await this.#api.core.listNamespacedPod(
              {
                namespace,
                fieldSelector: "status.phase!=Succeeded,status.phase!=Failed",
                limit: PAGE_LIMIT,
                ...(next ? { _continue: next } : {}),
              },
              options,
            ),
          );
          return { ...page, items: page.items.filter((pod) => claimsOf(pod).includes(name)) };
        }),
      ),
    );
    for (const pod of pods.items) using.push(podView(pod));
    return using;
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

  async #all<V>(from: Followed<V>, signal: AbortSignal): Promise<readonly V[]> {
    return from.cache.fresh ? from.cache.values() : this.#live(from, signal);
  }

  #live<V>(from: Followed<V>, signal: AbortSignal): Promise<readonly V[]> {
    return this.#call(from.resource, signal, () => from.live(signal));
  }

  async #call<T>(resource: string, signal: AbortSignal, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      throw toFailure(error, { verb: "list", resource }, this.#api.transport.server, signal);
    }
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
