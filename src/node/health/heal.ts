import type { Filesystem } from "../../domain/access-mode.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { type BlockDevice, type Connection, isLive } from "../../host/data-path.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { mountsOf, type NodeContext, topMount } from "../context.ts";
import { lookForUuid } from "../filesystem/clone-uuid.ts";
import { release, unmountStaging } from "../verbs/release.ts";
import { unmountLayers } from "../verbs/unmount.ts";
import { isDead } from "./dead.ts";

/** The kernel scans for namespaces in the background after a connect or reconnect; its scan is shorter than this. */
const SCAN_MS = 5_000;
const POLL_MS = 250;
/** States from which a controller never comes back. Source: Linux, drivers/nvme/host/core.c, nvme_change_ctrl_state. */
const GONE = /^(dead|deleting.*)$/;

/**
 * Unmounts the topmost mount at a staging path as long as its device has vanished. A dead mount serves only errors, and a
 * new mount over it would hide it for ever. A live mount is not touched.
 *
 * Bind mounts of the same dead filesystem in pods stay: they end with their pods. They are named in the log, as these
 * pods see errors until they are replaced.
 * @param path canonical staging path
 * @throws unmountFailed (FAILED_PRECONDITION); nodeStateUnknown
 */
export async function clearDeadStaging(
  node: NodeContext,
  volume: VolumeId,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const mayGo = async (top: Mount, all: readonly Mount[]): Promise<boolean> => {
    if (!(await isDead(node, top))) return false;
    const left = all
      .filter(({ device, mountPoint }) => device === top.device && mountPoint !== path)
      .map(({ mountPoint }) => mountPoint);
    node.logger.warn("unmounting a staging mount whose device has vanished", {
      volume,
      path,
      source: top.source,
      ...(left.length > 0 ? { deadInPods: left } : {}),
    });
    return true;
  };
  await unmountLayers(node, path, mayGo, signal);
}

/**
 * Unmounts a staged filesystem that met an error and refuses every write, if no pod has it: only a new mount, with the
 * check before it, makes it usable.
 * @param path canonical staging path
 * @throws unmountFailed (FAILED_PRECONDITION); nodeStateUnknown
 */
export async function clearFailedStaging(
  node: NodeContext,
  volume: VolumeId,
  path: string,
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<void> {
  const own = (await mountsOf(node)).filter((mount) => mount.device === device.number);
  const [only] = own;
  if (own.length !== 1 || only?.mountPoint !== path || writabilityOf(only) !== "failed") return;
  node.logger.warn("unmounting a staged filesystem that met an error", { volume, path, device: device.path });
  await unmountStaging(node, volume, path, [device], signal);
}

/**
 * Unmounts a staged clone whose filesystem could have a UUID of its own and has not, if no pod has it: an earlier stage ended
 * between its two mounts.
 * @param path canonical staging path
 * @param uuid the UUID that it is to have
 * @throws unmountFailed (FAILED_PRECONDITION); deviceUnreadable (UNAVAILABLE); nodeStateUnknown
 */
export async function clearHalfStaged(
  node: NodeContext,
  volume: VolumeId,
  path: string,
  device: BlockDevice,
  filesystem: Filesystem,
  uuid: string,
  signal?: AbortSignal,
): Promise<void> {
  const own = (await mountsOf(node)).filter((mount) => mount.device === device.number);
  if (own.length !== 1 || own[0]?.mountPoint !== path) return;
  if ((await lookForUuid(node, { device, filesystem }, uuid, signal)).kind !== "changeable") return;
  node.logger.info("unmounting a staged clone that has the UUID of its origin", { volume, path });
  await unmountStaging(node, volume, path, [device], signal);
}

/**
 * Ends a connection that cannot become usable by itself, so that a stage connects anew instead of waiting for it: its
 * controllers are dead or being deleted, or they are live without a namespace for longer than the kernel's scan takes (the
 * volume was not exported for a while, or was replaced). Without a device it has no users, and its mounts are dead.
 *
 * A connection that is connecting or resetting is left alone: it comes back with its device and its mounts. So is any
 * connection while the staging path has a mount, which after clearDeadStaging is alive.
 * @param path canonical staging path
 * @returns whether it was ended
 * @throws disconnectNotProven (UNAVAILABLE); nodeStateUnknown
 */
export async function endDeadConnection(
  node: NodeContext,
  connection: Connection,
  path: string,
  signal?: AbortSignal,
): Promise<boolean> {
  const { nqn } = connection;
  if ((await topMount(node, path)) !== undefined) return false;
  const { clock } = node.system;
  const until = clock.monotonic() + SCAN_MS;
  for (;;) {
    const now = (await node.dataPath.list(signal)).filter((each) => each.nqn === nqn);
    const [first] = now;
    if (first === undefined || now.some(({ device }) => device !== undefined)) return false;
    const { slot: volume, state } = first;
    if (isBeyondReturn(first) || (isLive(first) && clock.monotonic() > until)) {
      node.logger.warn("ending a connection that cannot become usable", { volume, nqn, state });
      await release(node, first, undefined, signal);
      return true;
    }
    if (!isLive(first)) return false;
    await clock.sleep(POLL_MS, signal);
  }
}

/** Every controller of the connection is dead or on its way out. */
export function isBeyondReturn({ state, device }: Connection): boolean {
  return device === undefined && state.split(", ").every((each) => GONE.test(each));
}
