import type { NodeInfo } from "./types.ts";

/**
 * NodeGetInfo. Source: CSI specification, NodeGetInfo.
 * @param maxVolumesPerNode 0 = no limit
 */
export function info(nodeId: string, maxVolumesPerNode: number): NodeInfo {
  return { nodeId, maxVolumesPerNode };
}
