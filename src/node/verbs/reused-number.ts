import { readdir, unlink } from "node:fs/promises";
import { failure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { deviceNumber, readIfPresent } from "../../host/files.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";
import { statOf } from "./paths.ts";
import { unmountLayers } from "./unmount.ts";

/** Kubelet's directory of CSI volumes, above any staging path. */
const CSI = /^(.+\/plugins\/kubernetes\.io\/csi)\//;
/** The target of a block volume, or kubelet's own bind mount of it, each for one pod. */
const FOR_POD =
  /^(.+)(\/plugins\/kubernetes\.io\/csi\/volumeDevices)\/(?:publish\/([^/]+)|([^/]+)\/dev)\/([^/]+)$/;

/** A path that leads to a device. */
interface Way {
  readonly path: string;
  /** Handle of the volume for which kubelet keeps the path. */
  readonly volume: string;
}

/**
 * Makes sure that no path of another volume leads to the device of this one. When a device vanishes, the nodes that pods have
 * of it stay, and the kernel gives its number to the next device: a pod that opens its node then opens this volume.
 *
 * As long as the pod is there it may hold a node of its own, which nobody can take from it, so this volume has to wait. The
 * paths of a pod that is gone are cleared. A path counts only if kubelet's record beside it names this driver and another
 * volume.
 * @param staging canonical staging path of this volume, by which kubelet's directory is known
 * @throws deviceNumberTaken, unmountFailed (FAILED_PRECONDITION); nodeStateUnknown
 */
export async function requireOwnNumber(
  node: NodeContext,
  volume: VolumeId,
  device: BlockDevice,
  staging: string,
  signal?: AbortSignal,
): Promise<void> {
  const taken: Way[] = [];
  for (const way of await waysTo(node, device.number, staging)) {
    if (way.volume === volume) continue;
    if (!(await isPodGone(way.path))) {
      taken.push(way);
      continue;
    }
    node.logger.warn("clearing a device node that a pod left, as its number is another volume's now", {
      volume,
      path: way.path,
      of: way.volume,
      number: device.number,
    });
    await clear(node, way.path, device.number, signal);
  }
  if (taken.length > 0) {
    const paths = taken.map(({ path, volume: other }) => `${path} (volume ${other})`);
    throw failure("deviceNumberTaken", { volume, device: device.path, number: device.number, paths });
  }
}

/** The paths of volumes of this driver that lead to a device: mounts of it, bind mounts of nodes of it, and nodes of it. */
async function waysTo(node: NodeContext, number: string, staging: string): Promise<readonly Way[]> {
  const { driverName } = node;
  if (driverName === undefined) return [];
  const mounts = await mountsOf(node);
  const mounted = new Set(mounts.map(({ mountPoint }) => mountPoint));
  const places = mounts.filter((mount) => mount.device === number).map(({ mountPoint }) => mountPoint);
  for (const path of new Set(mounts.filter(isDeviceNode).map(({ mountPoint }) => mountPoint))) {
    if ((await numberOf(path)) === number) places.push(path);
  }
  for (const path of await kubeletNodes(staging)) {
    // A mounted path was looked at above; its stat could block.
    if (!mounted.has(path) && (await numberOf(path)) === number) places.push(path);
  }
  const ways: Way[] = [];
  for (const path of new Set(places)) {
    const owner = await kubeletPathOf(asTarget(path), driverName);
    if (owner !== undefined) ways.push({ path, volume: owner.handle });
  }
  return ways;
}

/** Whether stat of a mount point cannot block: devtmpfs is in memory. */
function isDeviceNode(mount: Mount): boolean {
  return mount.fsType === "devtmpfs" && mount.root !== "/";
}

/** Kubelet's paths of block volumes, one for each volume and pod. */
async function kubeletNodes(staging: string): Promise<readonly string[]> {
  const base = CSI.exec(staging)?.[1];
  if (base === undefined) return [];
  const root = `${base}/volumeDevices`;
  const directories = [
    ...(await list(`${root}/publish`)).map((name) => `${root}/publish/${name}`),
    ...(await list(root)).map((name) => `${root}/${name}/dev`),
  ];
  const paths: string[] = [];
  for (const directory of directories) {
    for (const name of await list(directory)) paths.push(`${directory}/${name}`);
  }
  return paths;
}

/** The target from which kubelet made its own bind mount: the record belongs to the target. */
function asTarget(path: string): string {
  const [, root, devices, , name, pod] = FOR_POD.exec(path) ?? [];
  return name === undefined ? path : `${root}${devices}/publish/${name}/${pod}`;
}

/** Proven only by a directory of pods that lacks this one. Source: Kubernetes, pkg/kubelet/kubelet_getters.go, getPodDir. */
async function isPodGone(path: string): Promise<boolean> {
  const [, root, , , , pod] = FOR_POD.exec(path) ?? [];
  if (root === undefined || pod === undefined) return false;
  return (await statOf(`${root}/pods`)) !== undefined && (await statOf(`${root}/pods/${pod}`)) === undefined;
}

async function clear(node: NodeContext, path: string, number: string, signal?: AbortSignal): Promise<void> {
  const isItsNode = async (top: Mount) => isDeviceNode(top) && (await numberOf(path)) === number;
  if ((await unmountLayers(node, path, isItsNode, signal)) !== undefined) return;
  const left = await statOf(path);
  if (left?.isBlockDevice() || (left?.isFile() && left.size === 0)) await unlink(path);
}

/** `major:minor` of a device node; undefined for anything else. */
async function numberOf(path: string): Promise<string | undefined> {
  const stat = await statOf(path);
  return stat?.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
}

/** Empty if there is no such directory. */
async function list(path: string): Promise<readonly string[]> {
  return (await readIfPresent(path, () => readdir(path))) ?? [];
}
