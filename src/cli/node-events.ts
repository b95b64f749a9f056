import type { NodeConfig } from "../config/load.ts";
import type { Clock } from "../domain/clock.ts";
import { PLAIN_CLUSTER_ID } from "../domain/cluster-id.ts";
import type { OwnNode } from "../kubernetes/own-node.ts";
import type { EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { withoutRequest } from "../observability/request-scope.ts";
import type { ClusterIdSource } from "./cluster-id.ts";
import { openKubernetes } from "./open-kubernetes.ts";

/** The receiver of a node's events on claims, and the node's own objects. */
export interface NodeEvents {
  /** undefined without an orchestrator. */
  readonly sink: EventSink | undefined;
  /** The node's own objects; undefined without an orchestrator. */
  readonly ownNode: OwnNode | undefined;
  /** Which cluster this is, for a node without --cluster-id. */
  readonly clusterId: ClusterIdSource;
  close(): Promise<void>;
}

/**
 * The events of `--orchestrator`. Nothing is asked of the network here. Credentials that cannot be used cost the events,
 * not the node: its volumes matter more.
 */
export async function nodeEvents(
  config: Pick<NodeConfig, "orchestrator" | "kubeconfig" | "driverName" | "nodeId">,
  { logger, clock }: { readonly logger: Logger; readonly clock: Clock },
): Promise<NodeEvents> {
  const none = {
    sink: undefined,
    ownNode: undefined,
    clusterId: async () => PLAIN_CLUSTER_ID,
    close: async () => {},
  };
  if (config.orchestrator === "none") return none;
  const { nodeId } = config;
  try {
    const kubernetes = await openKubernetes(config, {
      instance: nodeId,
      logger: withoutRequest(logger),
      clock,
      maxSockets: 2,
    });
    const { events: sink } = kubernetes;
    return {
      sink,
      ownNode: kubernetes.ownNode(nodeId),
      clusterId: (signal) => kubernetes.clusterUid(signal),
      close: () => kubernetes.close(),
    };
  } catch (error) {
    logger.warn("no events will be posted", { error });
    const clusterId = async () => Promise.reject(error);
    return { ...none, clusterId };
  }
}
