import { parseVolumeId, type VolumeId } from "../domain/volume-id.ts";
import type { Mount } from "../mount/mountinfo.ts";
import { isDead, isDeadNode } from "./dead.ts";
import { type Trouble, troublesOf } from "./health.ts";
import { kubeletPathOf } from "./kubelet-paths.ts";
import { mountsOf } from "./release.ts";
import type { NodeContext } from "./types.ts";

/**
 * Looks at every volume of this driver on this node: those that are connected, and those of which only dead mounts are
 * left, if kubelet's record says whose they are.
 * @returns what is wrong with each; an empty list for one that is well
 * @throws nodeStateUnknown, cancelled
 */
export async function survey(
  node: NodeContext,
  signal?: AbortSignal,
): Promise<ReadonlyMap<VolumeId, readonly Trouble[]>> {
  const mounts = await mountsOf(node);
  const connections = await node.dataPath.list(signal);
  const dead = await deadMounts(node, mounts, signal);
  const found = new Map<VolumeId, readonly Trouble[]>();
  for (const volume of new Set([...connections.map(({ slot }) => slot), ...dead.keys()])) {
    const own = connections.filter(({ slot }) => slot === volume);
    const numbers = new Set(own.map(({ device }) => device?.number));
    const mounted = mounts.filter(({ device }) => numbers.has(device));
    const subject = { volume, connections: own, mounts: [...mounted, ...(dead.get(volume) ?? [])] };
    found.set(volume, await troublesOf(node, subject, signal));
  }
  return found;
}

async function deadMounts(
  node: NodeContext,
  mounts: readonly Mount[],
  signal?: AbortSignal,
): Promise<ReadonlyMap<VolumeId, readonly Mount[]>> {
  const found = new Map<VolumeId, Mount[]>();
  if (node.driverName === undefined) return found;
  for (const mount of mounts) {
    // Cheap questions first: whose a path is costs a look at kubelet's directory.
    const deviceNode = mount.fsType === "devtmpfs" && mount.root !== "/";
    if (!deviceNode && !(await isDead(node, mount))) continue;
    const owner = await kubeletPathOf(mount.mountPoint, node.driverName);
    const volume = owner && parseVolumeId(owner.handle);
    if (volume === undefined || (deviceNode && !(await isDeadNode(node, mount, signal)))) continue;
    found.set(volume, [...(found.get(volume) ?? []), mount]);
  }
  return found;
}
