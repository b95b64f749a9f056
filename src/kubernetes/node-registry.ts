import type { NodeRegistry } from "../controller/nodes.ts";
import type { ClusterReader } from "./port.ts";

/** CSI node ids are the names of Node objects. */
export function kubernetesNodes(reader: Pick<ClusterReader, "nodeExists">): NodeRegistry {
  return { exists: (nodeId, signal) => reader.nodeExists(nodeId, signal) };
}
