import { access } from "node:fs/promises";
import { readIfPresent } from "../../host/files.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import type { NodeContext } from "../context.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";

/**
 * Whether the device under a mount has vanished: the mount table then still shows the mount, and stat answers from
 * memory. Only for filesystems on block devices.
 * @throws nodeStateUnknown
 */
export async function isDead(node: NodeContext, mount: Mount): Promise<boolean> {
  // Device number 0:x: no block device is behind it (tmpfs, devtmpfs, overlay).
  return !mount.device.startsWith("0:") && (await hasVanished(node, mount.device));
}

/**
 * Whether a mount is the bind mount of a device node whose device has vanished. The number may belong to another device by
 * now: then the kernel has marked the node as deleted, or, where nodes are not the kernel's own, the node leads to another
 * volume than the one for which kubelet keeps the path.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function isDeadNode(node: NodeContext, mount: Mount, signal?: AbortSignal): Promise<boolean> {
  if (mount.fsType !== "devtmpfs" || mount.root === "/") return false;
  if (mount.root.endsWith("//deleted")) return true;
  const seen = await statPath(node.system.exec, mount.mountPoint, signal);
  if (seen?.kind !== "block") return false;
  return (await hasVanished(node, seen.number)) || (await leadsElsewhere(node, mount, seen.number, signal));
}

async function leadsElsewhere(
  node: NodeContext,
  { mountPoint }: Mount,
  number: string,
  signal?: AbortSignal,
): Promise<boolean> {
  if (node.driverName === undefined) return false;
  const behind = (await node.dataPath.list(signal)).find(({ device }) => device?.number === number);
  if (behind === undefined) return false;
  const owner = await kubeletPathOf(mountPoint, node.driverName);
  return owner !== undefined && owner.handle !== behind.slot;
}

async function hasVanished(node: NodeContext, number: string): Promise<boolean> {
  const read = () => access(`${node.system.sysRoot}/dev/block/${number}`).then(() => true);
  return (await readIfPresent(`device ${number}`, read)) === undefined;
}
