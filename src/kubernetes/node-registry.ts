import type { ClusterReader } from "./port.ts";

/** CSI node ids are the names of Node objects. */
export function kubernetesNodes(reader: Pick<ClusterReader, "nodeExists">): NodeRegistry {
  return { exists: (nodeId, signal) => reader.nodeExists(nodeId, signal) };
}

/** Which nodes exist. Declared here, as the controller asks; Kubernetes or a static list answers. */
export interface NodeRegistry {
  /** Whether a node with this CSI node id exists. Throws when it cannot be found out. */
  exists(nodeId: string, signal: AbortSignal): Promise<boolean>;
}

/** A fixed list of node ids, for installations without an orchestrator. */
export function staticNodes(nodeIds: readonly string[]): NodeRegistry {
  const known = new Set(nodeIds);
  return { exists: async (nodeId) => known.has(nodeId) };
}
