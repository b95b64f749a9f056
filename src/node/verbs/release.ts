import { failure } from "../../domain/errors/driver-error.ts";
import type { BlockDevice, Connection } from "../../host/data-path.ts";
import { mountsAt } from "../../mount/mountinfo.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { proveUnused } from "../device-proofs.ts";
import { isDead } from "../health/dead.ts";
import { unmountLayers } from "./unmount.ts";

/**
 * Unmounts every mount at the staging path, if each is of one of the given devices or dead. Refuses before the first change
 * if one of the devices is mounted anywhere else.
 * @param path canonical
 * @throws deviceInUse, pathOccupied, unmountFailed (FAILED_PRECONDITION)
 */
export async function unmountStaging(
  node: NodeContext,
  volume: string,
  path: string,
  devices: readonly BlockDevice[],
  signal?: AbortSignal,
): Promise<void> {
  const mounts = await mountsOf(node);
  const numbers = new Set(devices.map((device) => device.number));
  for (const layer of mountsAt(mounts, path)) {
    if (!numbers.has(layer.device) && !(await isDead(node, layer))) {
      throw failure("pathOccupied", { path, found: `a mount of ${layer.source}` });
    }
  }
  const elsewhere = mounts.filter((mount) => numbers.has(mount.device) && mount.mountPoint !== path);
  if (elsewhere.length > 0) {
    const device = devices.map((each) => each.path).join(", ");
    const users = elsewhere.map((mount) => `mounted at ${mount.mountPoint}`);
    throw failure("deviceInUse", { volume, device, users });
  }
  await unmountLayers(node, path, () => true, signal);
}

/**
 * Ends a connection: unmounts the staging path (if given), proves that nobody uses the device, disconnects and proves
 * that it is gone. Each step is repeatable.
 * @param path canonical staging path; undefined leaves mounts alone
 * @throws deviceInUse, pathOccupied, unmountFailed (FAILED_PRECONDITION); disconnectNotProven, nodeStateUnknown
 */
export async function release(
  node: NodeContext,
  connection: Connection,
  path: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const { nqn, slot, device, state } = connection;
  if (device !== undefined) {
    const staged = path === undefined ? [] : mountsAt(await mountsOf(node), path);
    if (path !== undefined && staged.some((mount) => mount.device === device.number)) {
      await unmountStaging(node, slot, path, [device], signal);
    }
    await proveUnused(node, slot, device, signal);
  }
  node.logger.info("disconnecting", { volume: slot, nqn, device: device?.path, state });
  await node.dataPath.disconnect(nqn, signal);
}
