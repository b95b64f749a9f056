import type { Usage } from "../node/requests.ts";
import type { NodeService } from "../node/service.ts";
import { type BoundService, service } from "./bridge.ts";
import { optionalCapabilityFromWire } from "./capability.ts";
import { Node, NodeServiceCapability_RPC_Type as RpcType, VolumeUsage_Unit as Unit } from "./gen/csi_pb.ts";
import {
  type HealthDialect,
  hasCondition,
  hasHealthRpcs,
  wireCondition,
  wireHealth,
  wireStorageHealth,
} from "./health.ts";
import type { RpcHandlers } from "./rpc.ts";

/** Capabilities of the Node service in every dialect of health. CSI wants SINGLE_NODE_MULTI_WRITER from node and controller. */
export const NODE_CAPABILITIES = [
  RpcType.STAGE_UNSTAGE_VOLUME,
  RpcType.GET_VOLUME_STATS,
  RpcType.EXPAND_VOLUME,
  RpcType.SINGLE_NODE_MULTI_WRITER,
] as const;

/** The answer of NodeGetCapabilities. */
export function nodeCapabilities(dialect: HealthDialect): readonly RpcType[] {
  return [
    ...NODE_CAPABILITIES,
    ...(hasCondition(dialect) ? [RpcType.VOLUME_CONDITION] : []),
    ...(hasHealthRpcs(dialect) ? [RpcType.GET_VOLUME_HEALTH, RpcType.GET_STORAGE_HEALTH] : []),
  ];
}

/** The Node service: maps messages, leaves every decision to `operations`. Secrets are not passed on. */
export function nodeService(operations: NodeService, dialect: HealthDialect = "csi-1.12"): BoundService {
  return service(Node, {
    nodeStageVolume: async (request, { signal }) => {
      await operations.stage({
        volumeId: request.volumeId,
        publishContext: request.publishContext,
        stagingTargetPath: request.stagingTargetPath,
        capability: optionalCapabilityFromWire(request.volumeCapability),
        volumeContext: request.volumeContext,
        signal,
      });
      return {};
    },
    nodeUnstageVolume: async ({ volumeId, stagingTargetPath }) => {
      await operations.unstage({ volumeId, stagingTargetPath });
      return {};
    },
    nodePublishVolume: async (request, { signal }) => {
      await operations.publish({
        volumeId: request.volumeId,
        publishContext: request.publishContext,
        stagingTargetPath: request.stagingTargetPath,
        targetPath: request.targetPath,
        capability: optionalCapabilityFromWire(request.volumeCapability),
        readonly: request.readonly,
        signal,
      });
      return {};
    },
    nodeUnpublishVolume: async ({ volumeId, targetPath }, { signal }) => {
      await operations.unpublish({ volumeId, targetPath, signal });
      return {};
    },
    nodeGetVolumeStats: async ({ volumeId, volumePath, stagingTargetPath }, { signal }) => {
      const request = { volumeId, volumePath, stagingTargetPath, signal };
      const { usage, condition } = await operations.stats(request);
      const volumeCondition = wireCondition(dialect, condition);
      return { usage: usage.map(usageToWire), ...(volumeCondition && { volumeCondition }) };
    },
    ...(hasHealthRpcs(dialect) && healthHandlers(operations)),
    nodeExpandVolume: async (request, { signal }) => {
      const { capacityRange } = request;
      const capacityBytes = await operations.expand({
        volumeId: request.volumeId,
        volumePath: request.volumePath,
        range:
          capacityRange === undefined
            ? undefined
            : { requiredBytes: capacityRange.requiredBytes, limitBytes: capacityRange.limitBytes },
        stagingTargetPath: request.stagingTargetPath,
        capability: optionalCapabilityFromWire(request.volumeCapability),
        signal,
      });
      return { capacityBytes };
    },
    nodeGetCapabilities: async () => ({
      capabilities: nodeCapabilities(dialect).map((type) => ({
        type: { case: "rpc" as const, value: { type } },
      })),
    }),
    nodeGetInfo: async () => {
      const { nodeId, maxVolumesPerNode } = operations.info();
      return { nodeId, maxVolumesPerNode: BigInt(maxVolumesPerNode) };
    },
  });
}

/** The RPCs of CSI 1.13 about health. */
function healthHandlers(operations: NodeService): RpcHandlers<typeof Node> {
  return {
    nodeGetVolumeHealth: async ({ volumeId, volumePublishPath, stagingTargetPath }, { signal }) => {
      const request = { volumeId, volumePublishPath, stagingTargetPath, signal };
      return { volumeHealth: wireHealth(volumeId, await operations.volumeHealth(request)) };
    },
    nodeGetStorageHealth: async (_request, { signal }) =>
      wireStorageHealth(await operations.storageHealth(signal)),
  };
}

/** 0 stands for unknown on the wire: a block volume has only a total. */
function usageToWire({ unit, total, used, available }: Usage) {
  return {
    unit: unit === "bytes" ? Unit.BYTES : Unit.INODES,
    total,
    used: used ?? 0n,
    available: available ?? 0n,
  };
}
