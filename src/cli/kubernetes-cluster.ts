import { hostname } from "node:os";
import type { ControllerConfig } from "../config/load.ts";
import { kubernetesEvidence } from "../controller/kubernetes-evidence.ts";
import { kubevirtOutcome } from "../controller/migration-outcome.ts";
import { createKubernetes } from "../kubernetes/create.ts";
import { kubernetesNodes } from "../kubernetes/node-registry.ts";
import { withoutRequest } from "../observability/request-scope.ts";
import type { ClusterDeps, ClusterParts } from "./build-cluster.ts";
import { recordsPrefix } from "./records-prefix.ts";

/** Name of the Lease under which one replica reconciles; per installation, as several may share a namespace. */
function leaseName(driverName: string): string {
  return `${driverName.replaceAll(".", "-")}-reconcile`;
}

/**
 * The cluster as the driver's orchestrator. Reads credentials, and nothing from the network.
 * @throws kubernetesConfigUnusable
 */
export async function kubernetesCluster(
  config: ControllerConfig,
  { logger, clock }: ClusterDeps,
): Promise<ClusterParts> {
  const { driverName, kubeconfig } = config;
  const instance = config.podName ?? hostname();
  const kubernetes = await createKubernetes({
    source: kubeconfig === undefined ? { kind: "in-cluster" } : { kind: "kubeconfig", path: kubeconfig },
    driverName,
    instance,
    logger: withoutRequest(logger),
    clock,
  });
  const { reader, events, leaders } = kubernetes;
  const namespace = config.leaseNamespace ?? kubernetes.namespace ?? "default";
  return {
    nodes: kubernetesNodes(reader),
    evidence: kubernetesEvidence(reader),
    outcome: kubevirtOutcome(reader),
    reader,
    events,
    shards: kubernetes.shards(namespace, recordsPrefix(driverName)),
    clusterId: (signal) => kubernetes.clusterUid(signal),
    lead: (work, signal) =>
      leaders.runAsLeader(
        { name: leaseName(driverName), namespace, identity: instance, onStarted: work },
        signal,
      ),
    close: () => kubernetes.close(),
  };
}
