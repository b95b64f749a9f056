import type { HealthEntry } from "../inspect/health.ts";
import type { NodeContext } from "./context.ts";
import { type PruneReport, prune } from "./health/prune.ts";
import { type StorageTrouble, storageHealth } from "./health/storage-health.ts";
import { type SurveyResult, survey } from "./health/survey.ts";
import type {
  ExpandRequest,
  HealthRequest,
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
import { volumeHealth } from "./verbs/volume-health.ts";

/** The CSI node service without gRPC. Every failure is a DriverError; each verb is documented in its own file. */
export interface NodeService {
  stage(request: StageRequest): Promise<void>;
  unstage(request: UnstageRequest): Promise<void>;
  publish(request: PublishRequest): Promise<void>;
  unpublish(request: UnpublishRequest): Promise<void>;
  stats(request: StatsRequest): Promise<VolumeStats>;
  /** What is wrong with a volume on this node; empty when nothing adverse is known. */
  volumeHealth(request: HealthRequest): Promise<readonly HealthEntry[]>;
  /** What is wrong between this node and the RDS. */
  storageHealth(signal?: AbortSignal): Promise<readonly StorageTrouble[]>;
  /** @returns the size of the volume in bytes, as measured */
  expand(request: ExpandRequest): Promise<bigint>;
  /** NodeGetInfo; `maxVolumesPerNode` 0 = no limit. Source: CSI specification, NodeGetInfo. */
  info(): NodeInfo;
}

/** The work of a node without a call. */
export interface NodeUpkeep {
  /** Clears leftovers; once, before the first call. Never throws. */
  prune(deadlineMs: number): Promise<PruneReport>;
  /** The abnormal conditions of each volume on this node. */
  survey(signal?: AbortSignal): Promise<SurveyResult>;
}

export interface NodeServiceOptions extends Omit<NodeContext, "clusterId" | "logger"> {
  /** As configured; or a function that throws clusterIdUnknown until the orchestrator has answered. */
  readonly clusterId: string | (() => string);
  /** 0 = no limit. */
  readonly maxVolumesPerNode: number;
}

/**
 * Makes the node service. Its caller excludes two verbs on one volume at the same time, until the first has really settled:
 * in the driver the in-flight guard does (csi/interceptors/in-flight.ts).
 */
export function createNodeService(options: NodeServiceOptions): NodeService & NodeUpkeep {
  const { maxVolumesPerNode, clusterId: given, ...rest } = options;
  const { nodeId } = rest;
  const node: NodeContext = {
    ...rest,
    logger: rest.system.logger,
    get clusterId() {
      return typeof given === "string" ? given : given();
    },
  };
  return {
    stage: (request) => stage(node, request),
    unstage: (request) => unstage(node, request),
    publish: (request) => publish(node, request),
    unpublish: (request) => unpublish(node, request),
    stats: (request) => stats(node, request),
    volumeHealth: (request) => volumeHealth(node, request),
    storageHealth: (signal) => storageHealth(node, signal),
    expand: (request) => expand(node, request),
    info: () => ({ nodeId, maxVolumesPerNode }),
    prune: (deadlineMs) => prune(node, deadlineMs),
    survey: (signal) => survey(node, signal),
  };
}
