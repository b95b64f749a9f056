import type { CoreV1Event, V1PersistentVolumeClaim, V1Pod, V1StorageClass } from "@kubernetes/client-node";
import type { CallOptions, KubernetesApi } from "./api.ts";
import { toFailure } from "./api-error.ts";
import { listAll, PAGE_LIMIT, type Page, toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import type { PodView } from "./port.ts";
import { parseQuantity } from "./quantity.ts";
import { claimsOf, podView, timeOf } from "./views.ts";

/** A PersistentVolumeClaim. Sizes in bytes. */
export interface ClaimView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Pending, Bound or Lost. */
  readonly phase: string;
  /** spec.volumeName; undefined before it is bound. */
  readonly pvName: string | undefined;
  readonly requestedBytes: bigint | undefined;
  /** status.capacity: the size that the workload has; undefined before it is bound. */
  readonly capacityBytes: bigint | undefined;
  readonly deleting: boolean;
}

export interface StorageClassView {
  readonly name: string;
  readonly provisioner: string;
  readonly reclaimPolicy: string;
  readonly parameters: Readonly<Record<string, string>>;
}

export interface EventView {
  /** Kind/name of the object. */
  readonly about: string;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  /** The last time; milliseconds since the Unix epoch, 0 when the event has none. */
  readonly at: number;
}

/** The CSINode object of a node. `nodeId` is undefined if the driver is not in it. */
export interface CsiNodeView {
  readonly exists: boolean;
  readonly nodeId: string | undefined;
}

/** A pod and the names of its claims, in its namespace. */
export interface PodWithClaims extends PodView {
  readonly claims: readonly string[];
}

/**
 * Objects that only people ask about, for `volumes show`, `volumes record` and `diagnose`. Read anew each time; errors as
 * ClusterReader's: undefined is always the API server's own word.
 */
export interface ClusterInspector {
  claim(namespace: string, name: string, signal: AbortSignal): Promise<ClaimView | undefined>;
  storageClass(name: string, signal: AbortSignal): Promise<StorageClassView | undefined>;
  /** The events on an object of a namespace, in no order. */
  events(namespace: string, kind: string, name: string, signal: AbortSignal): Promise<readonly EventView[]>;
  csiNode(node: string, signal: AbortSignal): Promise<CsiNodeView>;
  /** The pods of a node that use a claim and have not ended. */
  podsOn(node: string, signal: AbortSignal): Promise<readonly PodWithClaims[]>;
}

/** The inspector through the API. */
export class ApiClusterInspector implements ClusterInspector {
  readonly #api: KubernetesApi;
  readonly #driver: string;

  /** @param driver CSI driver name */
  constructor(api: KubernetesApi, driver: string) {
    this.#api = api;
    this.#driver = driver;
  }

  async claim(namespace: string, name: string, signal: AbortSignal): Promise<ClaimView | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    const found = await this.#api.find(
      { verb: "get", resource: `persistentvolumeclaim ${namespace}/${name}` },
      signal,
      (options) => this.#api.core.readNamespacedPersistentVolumeClaim({ namespace, name }, options),
    );
    return found === undefined ? undefined : claimView(found);
  }

  async storageClass(name: string, signal: AbortSignal): Promise<StorageClassView | undefined> {
    if (!isObjectName(name)) return undefined;
    const found = await this.#api.find({ verb: "get", resource: `storageclass ${name}` }, signal, (options) =>
      this.#api.storage.readStorageClass({ name }, options),
    );
    return found === undefined ? undefined : storageClassView(found);
  }

  async events(
    namespace: string,
    kind: string,
    name: string,
    signal: AbortSignal,
  ): Promise<readonly EventView[]> {
    if (!isObjectName(namespace) || !isObjectName(name)) return [];
    const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${name}`;
    const resource = `events in namespace ${namespace}`;
    const all = await this.#list<CoreV1Event>(resource, signal, async (paged, options) =>
      toPage(await this.#api.core.listNamespacedEvent({ namespace, fieldSelector, ...paged }, options)),
    );
    return all.map(eventView);
  }

  async csiNode(name: string, signal: AbortSignal): Promise<CsiNodeView> {
    const found = await this.#api.find({ verb: "get", resource: `csinode ${name}` }, signal, (options) =>
      this.#api.storage.readCSINode({ name }, options),
    );
    const entry = found?.spec.drivers.find((driver) => driver.name === this.#driver);
    return { exists: found !== undefined, nodeId: entry?.nodeID };
  }

  async podsOn(node: string, signal: AbortSignal): Promise<readonly PodWithClaims[]> {
    const fieldSelector = `spec.nodeName=${node}`;
    const all = await this.#list<V1Pod>("pods of this node", signal, async (paged, options) =>
      toPage(await this.#api.core.listPodForAllNamespaces({ fieldSelector, ...paged }, options)),
    );
    return all
      .map((pod) => ({ ...podView(pod), claims: claimsOf(pod) }))
      .filter(({ phase, claims }) => claims.length > 0 && phase !== "Succeeded" && phase !== "Failed");
  }

  async #list<T>(
    resource: string,
    signal: AbortSignal,
    page: (paged: { limit: number; _continue?: string }, options: CallOptions) => Promise<Page<T>>,
  ): Promise<readonly T[]> {
    try {
      const { items } = await listAll<T>((next) =>
        this.#api.attempt(signal, (options) =>
          page({ limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) }, options),
        ),
      );
      return items;
    } catch (error) {
      throw toFailure(error, { verb: "list", resource }, this.#api.transport.server, signal);
    }
  }
}

function claimView({ metadata, spec, status }: V1PersistentVolumeClaim): ClaimView {
  return {
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    phase: status?.phase ?? "Pending",
    pvName: spec?.volumeName || undefined,
    requestedBytes: parseQuantity(spec?.resources?.requests?.storage),
    capacityBytes: parseQuantity(status?.capacity?.storage),
    deleting: metadata?.deletionTimestamp !== undefined,
  };
}

function storageClassView(object: V1StorageClass): StorageClassView {
  const { metadata, provisioner, reclaimPolicy = "Delete", parameters = {} } = object;
  return { name: metadata?.name ?? "", provisioner, reclaimPolicy, parameters };
}

function eventView(event: CoreV1Event): EventView {
  const { involvedObject, series, metadata } = event;
  const at = [event.lastTimestamp, series?.lastObservedTime, event.eventTime, metadata?.creationTimestamp];
  return {
    about: `${involvedObject?.kind ?? ""}/${involvedObject?.name ?? ""}`,
    type: event.type ?? "Normal",
    reason: event.reason ?? "",
    message: event.message ?? "",
    count: series?.count ?? event.count ?? 1,
    at: timeOf(at.find((each) => each !== undefined && each !== null)),
  };
}
