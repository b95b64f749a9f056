import type { DataPath } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";
import type { NodeContext } from "./context.ts";
import { type PruneReport, prune } from "./health/prune.ts";
import { type SurveyResult, survey } from "./health/survey.ts";
import { createInFlight } from "./in-flight.ts";
import type {
  ExpandRequest,
  NodeInfo,
  PublishRequest,
  StageRequest,
  StatsRequest,
  UnpublishRequest,
  UnstageRequest,
  VolumeStats,
} from "./requests.ts";
import { expand } from "./verbs/expand.ts";
import { publish } from "./verbs/publish.ts";
import { stage } from "./verbs/stage.ts";
import { stats } from "./verbs/stats.ts";
import { unpublish } from "./verbs/unpublish.ts";
import { unstage } from "./verbs/unstage.ts";

/** The CSI node service without gRPC. Every failure is a DriverError; each verb is documented in its own file. */
export interface NodeService {
  stage(request: StageRequest): Promise<void>;
  unstage(request: UnstageRequest): Promise<void>;
  publish(request: PublishRequest): Promise<void>;
  unpublish(request: UnpublishRequest): Promise<void>;
  stats(request: StatsRequest): Promise<VolumeStats>;
  /** @returns the size of the volume in bytes, as measured */
  expand(request: ExpandRequest): Promise<bigint>;
  info(): NodeInfo;
}

/** What the node does by itself. */
export interface NodeUpkeep {
  /** Clears leftovers; once, before the first call. Never throws. */
  prune(deadlineMs: number): Promise<PruneReport>;
  /** What is wrong with each volume on this node. */
  survey(signal?: AbortSignal): Promise<SurveyResult>;
}

export interface NodeServiceOptions {
  readonly system: NodeSystem;
  readonly dataPath: DataPath;
  /** CSI node id; on Kubernetes the name of the Node object. */
  readonly nodeId: string;
  /** As configured; or what throws clusterIdUnknown until the orchestrator has said it. */
  readonly clusterId: string | (() => string);
  readonly nqnPrefix: string;
  /** CSI driver name; undefined: kubelet's records of our paths are not looked at. */
  readonly driverName?: string;
  /** 0 = no limit. */
  readonly maxVolumesPerNode: number;
  /** The only addresses that volumes are connected at; undefined or empty: any. */
  readonly storageAddresses?: readonly string[];
}

/**
 * Makes the node service. Two verbs on one volume never run at once (operationInFlight, ABORTED); a verb whose caller
 * has gone keeps its volume until it has really settled.
 */
export function createNodeService(options: NodeServiceOptions): NodeService & NodeUpkeep {
  const { system, dataPath, nodeId, nqnPrefix, driverName, maxVolumesPerNode } = options;
  const { logger } = system;
  const given = options.clusterId;
  const { storageAddresses } = options;
  const node: NodeContext = {
    ...{ system, dataPath, nodeId, nqnPrefix, driverName, storageAddresses, logger },
    get clusterId() {
      return typeof given === "string" ? given : given();
    },
  };
  const inFlight = createInFlight();
  const exclusive = <R extends { readonly volumeId: string }, A>(
    operation: string,
    verb: (node: NodeContext, request: R) => Promise<A>,
  ) => {
    return async (request: R): Promise<A> => {
      // An empty handle is refused by the verb; it must not block others.
      if (request.volumeId === "") return await verb(node, request);
      return await inFlight.run(request.volumeId, operation, () => verb(node, request));
    };
  };
  return {
    stage: exclusive("NodeStageVolume", stage),
    unstage: exclusive("NodeUnstageVolume", unstage),
    publish: exclusive("NodePublishVolume", publish),
    unpublish: exclusive("NodeUnpublishVolume", unpublish),
    stats: (request) => stats(node, request),
    expand: exclusive("NodeExpandVolume", expand),
    info: () => info(nodeId, maxVolumesPerNode),
    prune: (deadlineMs) => prune(node, deadlineMs),
    survey: (signal) => survey(node, signal),
  };
}

/**
 * NodeGetInfo. Source: CSI specification, NodeGetInfo.
 * @param maxVolumesPerNode 0 = no limit
 */
export function info(nodeId: string, maxVolumesPerNode: number): NodeInfo {
  return { nodeId, maxVolumesPerNode };
}
