import { hostname } from "node:os";
import type { ControllerConfig } from "../config/load.ts";
import { type EvidenceSource, noOrchestrator } from "../controller/evidence.ts";
import { kubernetesEvidence } from "../controller/kubernetes-evidence.ts";
import { kubevirtOutcome } from "../controller/migration-outcome.ts";
import type { OutcomeSource } from "../controller/migration-reporter.ts";
import type { Clock } from "../domain/clock.ts";
import { PLAIN_CLUSTER_ID } from "../domain/cluster-id.ts";
import { kubernetesNodes, type NodeRegistry, staticNodes } from "../kubernetes/node-registry.ts";
import type { ClusterReader, EventSink } from "../kubernetes/port.ts";
import type { ShardStore } from "../kubernetes/record-shards.ts";
import type { StorageNames } from "../kubernetes/storage-names.ts";
import type { Logger } from "../observability/log.ts";
import { withoutRequest } from "../observability/request-scope.ts";
import type { ClusterIdSource } from "./cluster-id.ts";
import { openKubernetes, recordsPrefix } from "./open-kubernetes.ts";

/** The orchestrator's parts of a controller. */
export interface ClusterParts {
  readonly nodes: NodeRegistry;
  readonly evidence: EvidenceSource;
  readonly outcome: OutcomeSource;
  /** undefined without an orchestrator. */
  readonly reader: ClusterReader | undefined;
  /** What objects of any driver name; undefined without an orchestrator. */
  readonly names: StorageNames | undefined;
  readonly events: EventSink | undefined;
  /** Where copies of the records are kept; undefined without an orchestrator. */
  readonly shards: ShardStore | undefined;
  /** Which cluster this is, for installations without --cluster-id. @throws kubernetes* errors, clusterIdUnknown */
  readonly clusterId: ClusterIdSource;
  /** Runs background work as long as this replica leads, until `signal` aborts. Never throws. */
  lead(work: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

export interface ClusterDeps {
  readonly logger: Logger;
  readonly clock: Clock;
}

/** The parts for `--orchestrator`. Nothing is asked of the network here. */
export async function buildCluster(config: ControllerConfig, deps: ClusterDeps): Promise<ClusterParts> {
  if (config.orchestrator === "none") {
    deps.logger.warn(
      "no orchestrator: the migration guard is off, a ReadWriteMany volume may be attached to any two nodes",
    );
    return withoutCluster(config);
  }
  return kubernetesCluster(config, deps);
}

function withoutCluster({ nodes }: ControllerConfig): ClusterParts {
  return {
    nodes: staticNodes(nodes),
    evidence: noOrchestrator,
    outcome: async () => undefined,
    reader: undefined,
    names: undefined,
    events: undefined,
    shards: undefined,
    clusterId: async () => PLAIN_CLUSTER_ID,
    lead: (work, signal) => work(signal),
    close: async () => {},
  };
}

/**
 * The cluster as the driver's orchestrator. Reads credentials, and nothing from the network.
 * @throws kubernetesConfigUnusable
 */
export async function kubernetesCluster(
  config: ControllerConfig,
  { logger, clock }: ClusterDeps,
): Promise<ClusterParts> {
  const { driverName } = config;
  const instance = config.podName ?? hostname();
  const kubernetes = await openKubernetes(config, { instance, logger: withoutRequest(logger), clock });
  const { reader, events, leaders } = kubernetes;
  // The Lease under which one replica reconciles is that of an installation, as several may share a namespace.
  const name = `${driverName.replaceAll(".", "-")}-reconcile`;
  const namespace = config.leaseNamespace ?? kubernetes.namespace ?? "default";
  return {
    nodes: kubernetesNodes(reader),
    evidence: kubernetesEvidence(reader),
    outcome: kubevirtOutcome(reader),
    reader,
    names: kubernetes.names,
    events,
    shards: kubernetes.shards(namespace, recordsPrefix(driverName)),
    clusterId: (signal) => kubernetes.clusterUid(signal),
    lead: (onStarted, signal) =>
      leaders.runAsLeader({ name, namespace, identity: instance, onStarted }, signal),
    close: () => kubernetes.close(),
  };
}
