import type { DataPath } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";
import { type Mount, readMounts } from "../mount/mountinfo.ts";
import type { Logger } from "../observability/log.ts";

/** What each verb and each loop of the node works with. */
export interface NodeContext {
  readonly system: NodeSystem;
  readonly dataPath: DataPath;
  readonly nodeId: string;
  /** Reading it throws clusterIdUnknown (UNAVAILABLE) while the orchestrator has not said it. */
  readonly clusterId: string;
  readonly nqnPrefix: string;
  /** CSI driver name, by which kubelet keeps its records of our paths; undefined: they are not looked at. */
  readonly driverName?: string | undefined;
  /** The only addresses that volumes are connected at; undefined or empty: any. */
  readonly storageAddresses?: readonly string[] | undefined;
  readonly logger: Logger;
}

/** The mount table of this node. */
export function mountsOf(node: NodeContext): Promise<readonly Mount[]> {
  return readMounts(mountinfoOf(node));
}

/** Where the mount table is read. */
export function mountinfoOf(node: NodeContext): string {
  return `${node.system.procRoot}/self/mountinfo`;
}
