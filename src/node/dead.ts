import { access } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import type { Mount } from "../mount/mountinfo.ts";
import { statPath } from "../mount/stat.ts";
import { isAbsent } from "./paths.ts";
import type { NodeContext } from "./types.ts";

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
 * Whether a mount is the bind mount of a device node whose device has vanished. Its number may belong to another device
 * meanwhile; the kernel then marks the node as deleted.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function isDeadNode(node: NodeContext, mount: Mount, signal?: AbortSignal): Promise<boolean> {
  if (mount.fsType !== "devtmpfs" || mount.root === "/") return false;
  if (mount.root.endsWith("//deleted")) return true;
  const seen = await statPath(node.system.exec, mount.mountPoint, signal);
  return seen?.kind === "block" && (await hasVanished(node, seen.number));
}

async function hasVanished(node: NodeContext, number: string): Promise<boolean> {
  try {
    await access(`${node.system.sysRoot}/dev/block/${number}`);
    return false;
  } catch (error) {
    if (isAbsent(error)) return true;
    throw failure("nodeStateUnknown", { what: `device ${number}`, detail: String(error) }, error);
  }
}
