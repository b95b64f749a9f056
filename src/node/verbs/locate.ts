import { failure } from "../../domain/errors/driver-error.ts";
import { parseVolumeId, type VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice, Connection } from "../../host/data-path.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import { connectionsOf, devicesOf, type NodeContext, topMount } from "../context.ts";
import { isDead, isDeadNode } from "../health/dead.ts";
import { canonicalPath, plainPath } from "./paths.ts";

/** A path at which a volume is looked for. */
export interface VolumePath {
  readonly volume: VolumeId;
  /** Canonical. */
  readonly path: string;
  /** The topmost mount at the path. */
  readonly top: Mount | undefined;
}

/** The connections of a volume, and its device at a path. */
export interface Located {
  readonly connections: readonly Connection[];
  /** undefined: the path leads to no device of the volume. */
  readonly device: BlockDevice | undefined;
  /** undefined for a device node. */
  readonly mount: Mount | undefined;
}

/**
 * Reads the path of a request and the mount at it.
 * @throws volumePathNotFound (NOT_FOUND), also for a path that is not absolute; nodeStateUnknown
 */
export async function volumePathOf(
  node: NodeContext,
  handle: string,
  requested: string,
): Promise<VolumePath> {
  const volume = parseVolumeId(handle);
  const plain = plainPath(requested);
  const path = plain === undefined ? undefined : await canonicalPath(plain);
  if (volume === undefined || path === undefined) {
    throw failure("volumePathNotFound", { volume: handle, path: requested });
  }
  return { volume, path, top: await topMount(node, path) };
}

/** Whether the device under a path, or the device of a node at it, has vanished. @throws nodeStateUnknown */
export async function isDeadPath(
  node: NodeContext,
  { top }: VolumePath,
  signal?: AbortSignal,
): Promise<boolean> {
  return top !== undefined && ((await isDead(node, top)) || (await isDeadNode(node, top, signal)));
}

/**
 * Finds the device of a volume at a path: under a mount of its filesystem, or as a node of the device. The device number
 * at the path is compared with the devices of this volume's NQNs, so no other device can pass for it.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function locate(
  node: NodeContext,
  { volume, path, top }: VolumePath,
  signal?: AbortSignal,
): Promise<Located> {
  const connections = await connectionsOf(node, volume, signal);
  const devices = devicesOf(connections);
  const mounted = devices.find(({ number }) => number === top?.device);
  if (mounted !== undefined) return { connections, device: mounted, mount: top };
  const seen = devices.length === 0 ? undefined : await statPath(node.system.exec, path, signal);
  const device = devices.find(({ number }) => seen?.kind === "block" && seen.number === number);
  return { connections, device, mount: undefined };
}
