import type { ControllerConfig } from "../config/load.ts";
import { type EvidenceSource, noOrchestrator } from "../controller/evidence.ts";
import type { OutcomeSource } from "../controller/migration-reporter.ts";
import type { Clock } from "../domain/clock.ts";
import { PLAIN_CLUSTER_ID } from "../domain/cluster-id.ts";
import { type NodeRegistry, staticNodes } from "../kubernetes/node-registry.ts";
import type { ClusterReader, EventSink } from "../kubernetes/port.ts";
import type { ShardStore } from "../kubernetes/record-shards.ts";
import type { Logger } from "../observability/log.ts";
import type { ClusterIdSource } from "./cluster-id.ts";

/** What the controller gets from its orchestrator. */
export interface ClusterParts {
  readonly nodes: NodeRegistry;
  readonly evidence: EvidenceSource;
  readonly outcome: OutcomeSource;
  /** undefined without an orchestrator. */
  readonly reader: ClusterReader | undefined;
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
  // Loaded only here: without Kubernetes its client costs nothing.
  const { kubernetesCluster } = await import("./kubernetes-cluster.ts");
  return kubernetesCluster(config, deps);
}

function withoutCluster({ nodes }: ControllerConfig): ClusterParts {
  return {
    nodes: staticNodes(nodes),
    evidence: noOrchestrator,
    outcome: async () => undefined,
    reader: undefined,
    events: undefined,
    shards: undefined,
    clusterId: async () => PLAIN_CLUSTER_ID,
    lead: (work, signal) => work(signal),
    close: async () => {},
  };
}
