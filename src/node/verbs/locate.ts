import { failure } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { isDead } from "../health/dead.ts";
import { canonicalPath, plainPath } from "./paths.ts";

/** What of a volume is at a path. `mount` is undefined for a device node. */
export interface Located {
  readonly device: BlockDevice;
  readonly mount: Mount | undefined;
}

/**
 * Finds a volume at a path: a mount of its filesystem, or a node of its device. What is there is compared by device
 * number with the devices of this volume's NQNs, so nothing else at the path can be taken for it.
 * @throws volumePathNotFound (NOT_FOUND), also for a path that is not absolute; deviceLost (UNAVAILABLE);
 *   nodeStateUnknown, deadlineExceeded
 */
export async function locate(
  node: NodeContext,
  volume: string,
  path: string,
  signal?: AbortSignal,
): Promise<Located> {
  const notFound = () => failure("volumePathNotFound", { volume, path });
  const slot = parseVolumeId(volume);
  const plain = plainPath(path);
  if (plain === undefined || slot === undefined) throw notFound();
  const canonical = await canonicalPath(plain);
  if (canonical === undefined) throw notFound();
  const mount = mountsAt(await mountsOf(node), canonical).at(-1);
  if (mount !== undefined && (await isDead(node, mount))) {
    throw failure("deviceLost", { volume, path: canonical });
  }
  const connections = (await node.dataPath.list(signal)).filter((connection) => connection.slot === slot);
  const devices = connections.flatMap(({ device }) => (device === undefined ? [] : [device]));
  const mounted = devices.find((device) => device.number === mount?.device);
  if (mounted !== undefined) return { device: mounted, mount };
  const seen = devices.length === 0 ? undefined : await statPath(node.system.exec, canonical, signal);
  const device = devices.find((each) => seen?.kind === "block" && seen.number === each.number);
  if (device === undefined) throw notFound();
  return { device, mount: undefined };
}
