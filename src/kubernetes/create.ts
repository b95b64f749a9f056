import { type Clock, systemClock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { type Logger, silentLogger } from "../observability/log.ts";
import { KubernetesApi } from "./api.ts";
import { CredentialSource, type KubeConfigSource } from "./credentials.ts";
import { EventReporter } from "./events.ts";
import { type ClusterInspector, clusterInspector } from "./inspector.ts";
import { LeaseElection } from "./leader.ts";
import { type OwnNode, ownNode } from "./own-node.ts";
import type { ClusterReader, EventSink } from "./port.ts";
import { clusterReader } from "./reader.ts";
import { recentVolumes } from "./recent-volumes.ts";
import { configMapShards, type ShardStore } from "./record-shards.ts";
import { type StorageNames, storageNames } from "./storage-names.ts";
import { ApiTransport } from "./transport.ts";
import { type SnapshotObjects, snapshotObjects } from "./volume-snapshots.ts";

export interface KubernetesOptions {
  readonly source: KubeConfigSource;
  /** CSI driver name: VolumeAttachments and PersistentVolumes of others are not seen. */
  readonly driverName: string;
  /** This process, for events and leases: the pod's name. */
  readonly instance: string;
  readonly logger?: Logger;
  readonly clock?: Clock;
  /** Uniform in [0, 1). */
  readonly random?: () => number;
  /** Most connections to the API server; default 16. */
  readonly maxSockets?: number;
}

/** The driver's access to one cluster. */
export interface Kubernetes {
  readonly reader: ClusterReader;
  /** Details of volumes for people, which the driver itself does not need. */
  readonly inspector: ClusterInspector;
  /** VolumeSnapshots and their contents, for people. */
  readonly snapshots: SnapshotObjects;
  /** What PersistentVolumes and VolumeSnapshotContents of any driver name. */
  readonly names: StorageNames;
  readonly events: EventSink;
  readonly leaders: LeaseElection;
  /** @param name of the Node object */
  ownNode(name: string): OwnNode;
  /** @param prefix start of the names of ConfigMaps in the namespace */
  shards(namespace: string, prefix: string): ShardStore;
  /** UID of the cluster. One call. @throws as readClusterUid */
  clusterUid(signal: AbortSignal): Promise<string>;
  /** Namespace of the service account, or of the kubeconfig's context. */
  readonly namespace: string | undefined;
  /** Ends connections; events get `drainMs` (default 3 s) to be delivered. */
  close(drainMs?: number): Promise<void>;
}

/**
 * Makes the client. Reads the credentials' files, but nothing from the network: the API server may be down. The client
 * library is loaded here, so that programs without Kubernetes do not load it.
 * @throws kubernetesConfigUnusable
 */
export async function createKubernetes(options: KubernetesOptions): Promise<Kubernetes> {
  const { clock = systemClock, logger = silentLogger, random = Math.random, driverName, instance } = options;
  const k8s = await import("./client-library.ts");
  const credentials = new CredentialSource(options.source, clock);
  await credentials.current();
  const namespace = await credentials.namespace();
  const transport = new ApiTransport(credentials, options.maxSockets);
  const api = new KubernetesApi(k8s, transport, clock);
  const reader = clusterReader(api, driverName);
  const reporter = { component: driverName, instance };
  const recent = recentVolumes(reader, clock);
  const events = new EventReporter({ api, reader: recent, reporter, clock, logger, random });
  const leaders = new LeaseElection({ api, clock, logger, random });
  return {
    reader,
    inspector: clusterInspector(api, driverName),
    snapshots: snapshotObjects(api, driverName),
    names: storageNames(api),
    events,
    leaders,
    ownNode: (name) => ownNode(api, name, driverName),
    shards: (namespace, prefix) => configMapShards(api, namespace, prefix),
    clusterUid: (signal) => readClusterUid(api, signal),
    namespace,
    close: async (drainMs = 3_000) => {
      await events.close(drainMs);
      transport.close();
    },
  };
}

/** Every cluster has this namespace from its first start to its end. It cannot be deleted. */
const SYSTEM_NAMESPACE = "kube-system";

/**
 * The UID of a cluster: that of its namespace kube-system.
 * @throws as ClusterReader; clusterIdUnknown when there is no such namespace
 */
async function readClusterUid(api: KubernetesApi, signal: AbortSignal): Promise<string> {
  const found = await api.find(
    { verb: "get", resource: `namespace ${SYSTEM_NAMESPACE}` },
    signal,
    (options) => api.core.readNamespace({ name: SYSTEM_NAMESPACE }, options),
  );
  const uid = found?.metadata?.uid;
  if (uid === undefined || uid === "")
    throw failure("clusterIdUnknown", { reason: `the API server has no namespace ${SYSTEM_NAMESPACE}` });
  return uid;
}
