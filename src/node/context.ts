import type { VolumeId } from "../domain/volume-id.ts";
import type { BlockDevice, Connection, DataPath } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";
import { type Mount, mountsAt, readMounts } from "../mount/mountinfo.ts";
import type { Logger } from "../observability/log.ts";

/** The tools and the identity that each verb and each loop of the node works with. */
export interface NodeContext {
  readonly system: NodeSystem;
  readonly dataPath: DataPath;
  /** CSI node id; on Kubernetes the name of the Node object. */
  readonly nodeId: string;
  /** Reading it throws clusterIdUnknown (UNAVAILABLE) until the orchestrator has answered. */
  readonly clusterId: string;
  readonly nqnPrefix: string;
  /** CSI driver name, by which kubelet keeps its records of our paths; undefined: the records are not read. */
  readonly driverName?: string | undefined;
  /** The only addresses that volumes are connected at; undefined or empty: any. */
  readonly storageAddresses?: readonly string[] | undefined;
  readonly logger: Logger;
}

/** The path of this node's mount table. */
export function mountinfoOf(node: NodeContext): string {
  return `${node.system.procRoot}/self/mountinfo`;
}

/** The mount table of this node. @throws nodeStateUnknown */
export function mountsOf(node: NodeContext): Promise<readonly Mount[]> {
  return readMounts(mountinfoOf(node));
}

/** The topmost mount at exactly this path. @throws nodeStateUnknown */
export async function topMount(node: NodeContext, path: string): Promise<Mount | undefined> {
  return mountsAt(await mountsOf(node), path).at(-1);
}

/** The connections of a volume, of any epoch; none for undefined. @throws nodeStateUnknown */
export async function connectionsOf(
  node: NodeContext,
  volume: VolumeId | undefined,
  signal?: AbortSignal,
): Promise<readonly Connection[]> {
  return (await node.dataPath.list(signal)).filter(({ slot }) => slot === volume);
}

/** The devices of some connections. */
export function devicesOf(connections: readonly Connection[]): readonly BlockDevice[] {
  return connections.flatMap(({ device }) => device ?? []);
}
