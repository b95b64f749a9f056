import type { CoreV1Event, V1PersistentVolumeClaim, V1StorageClass } from "@kubernetes/client-node";
import type { KubernetesApi } from "./api.ts";
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

/** The inspector through the API. @param driver CSI driver name */
export function clusterInspector(api: KubernetesApi, driver: string): ClusterInspector {
  const { core, storage } = api;
  return {
    claim: async (namespace, name, signal) => {
      const found = await api.findClaim(namespace, name, signal);
      return found && claimView(found);
    },
    storageClass: async (name, signal) => {
      if (!isObjectName(name)) return undefined;
      const found = await api.find({ verb: "get", resource: `storageclass ${name}` }, signal, (options) =>
        storage.readStorageClass({ name }, options),
      );
      return found && storageClassView(found);
    },
    events: async (namespace, kind, name, signal) => {
      if (!isObjectName(namespace) || !isObjectName(name)) return [];
      const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${name}`;
      const all = await api.list(`events in namespace ${namespace}`, signal, (page, options) =>
        core.listNamespacedEvent({ namespace, fieldSelector, ...page }, options),
      );
      return all.map(eventView);
    },
    csiNode: async (name, signal) => {
      const found = await api.find({ verb: "get", resource: `csinode ${name}` }, signal, (options) =>
        storage.readCSINode({ name }, options),
      );
      const entry = found?.spec.drivers.find((each) => each.name === driver);
      return { exists: found !== undefined, nodeId: entry?.nodeID };
    },
    podsOn: async (node, signal) => {
      const fieldSelector = `spec.nodeName=${node}`;
      const all = await api.list("pods of this node", signal, (page, options) =>
        core.listPodForAllNamespaces({ fieldSelector, ...page }, options),
      );
      return all
        .map((pod) => ({ ...podView(pod), claims: claimsOf(pod) }))
        .filter(({ phase, claims }) => claims.length > 0 && phase !== "Succeeded" && phase !== "Failed");
    },
  };
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
