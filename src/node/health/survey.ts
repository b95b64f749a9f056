import { parseVolumeId, type VolumeId } from "../../domain/volume-id.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import { isDead, isDeadNode } from "./dead.ts";
import { type AbnormalCondition, abnormalConditions } from "./health.ts";

/** The abnormal conditions of each volume; undefined for one that could not be looked at. */
export type SurveyResult = ReadonlyMap<VolumeId, readonly AbnormalCondition[] | undefined>;

/**
 * Looks at every volume of this driver on this node: those that are connected, and those of which only dead mounts are
 * left, if kubelet's record names their volume.
 * @param only undefined: every volume
 * @returns the abnormal conditions of each; an empty list for a normal volume. A volume that cannot be looked at does not
 *   hinder the others
 * @throws nodeStateUnknown when mounts or connections cannot be read; cancelled
 */
export async function survey(
  node: NodeContext,
  signal?: AbortSignal,
  only?: VolumeId,
): Promise<SurveyResult> {
  const mounts = await mountsOf(node);
  const connections = await node.dataPath.list(signal);
  const dead = await deadMounts(node, mounts, signal);
  const found = new Map<VolumeId, readonly AbnormalCondition[] | undefined>();
  for (const volume of new Set([...connections.map(({ slot }) => slot), ...dead.keys()])) {
    if (only !== undefined && volume !== only) continue;
    const own = connections.filter(({ slot }) => slot === volume);
    const numbers = new Set(own.map(({ device }) => device?.number));
    const mounted = mounts.filter(({ device }) => numbers.has(device));
    const subject = { volume, connections: own, mounts: [...mounted, ...(dead.get(volume) ?? [])] };
    const conditions = await known(node, { volume }, signal, () => abnormalConditions(node, subject, signal));
    found.set(volume, conditions);
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
    const path = mount.mountPoint;
    const volume = await known(node, { path }, signal, () => deadVolumeOf(node, mount, signal));
    if (volume !== undefined) found.set(volume, [...(found.get(volume) ?? []), mount]);
  }
  return found;
}

/** The volume of a dead mount. */
async function deadVolumeOf(
  node: NodeContext,
  mount: Mount,
  signal?: AbortSignal,
): Promise<VolumeId | undefined> {
  // Cheap questions first: the owner of a path costs a look at kubelet's directory.
  const deviceNode = mount.fsType === "devtmpfs" && mount.root !== "/";
  if (!deviceNode && !(await isDead(node, mount))) return undefined;
  const owner = await kubeletPathOf(mount.mountPoint, node.driverName ?? "");
  const volume = owner && parseVolumeId(owner.handle);
  return volume === undefined || (deviceNode && !(await isDeadNode(node, mount, signal)))
    ? undefined
    : volume;
}

/** The answer of `look`; undefined if it fails, so that the caller goes on with the next one. */
async function known<T>(
  node: NodeContext,
  what: { readonly volume: VolumeId } | { readonly path: string },
  signal: AbortSignal | undefined,
  look: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await look();
  } catch (error) {
    if (signal?.aborted) throw error;
    node.logger.debug("not looked at", { ...what, error });
    return undefined;
  }
}
