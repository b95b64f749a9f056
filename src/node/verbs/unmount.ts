import { failure, isFailure } from "../../domain/errors/driver-error.ts";
import { counted } from "../../domain/sentence.ts";
import { unmount } from "../../mount/mounter.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { describeUse } from "../../mount/processes.ts";
import { statPath } from "../../mount/stat.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { kubeletPathOf } from "../kubelet-paths.ts";

/** A bound against a path that is mounted again and again; no volume has so many layers. */
const MAX_LAYERS = 32;

/**
 * Unmounts the mounts at a path, the topmost first.
 * @param path canonical
 * @param mayGo asked of each topmost mount; false ends the work
 * @returns the mount for which `mayGo` was false; undefined when nothing is mounted at the path any more
 * @throws unmountFailed (FAILED_PRECONDITION); nodeStateUnknown; the errors of `mayGo`
 */
export async function unmountLayers(
  node: NodeContext,
  path: string,
  mayGo: (top: Mount, all: readonly Mount[]) => Promise<boolean> | boolean,
  signal?: AbortSignal,
): Promise<Mount | undefined> {
  for (let layer = 0; ; layer += 1) {
    const mounts = await mountsOf(node);
    const top = mountsAt(mounts, path).at(-1);
    if (top === undefined || !(await mayGo(top, mounts))) return top;
    if (layer === MAX_LAYERS) {
      throw failure("unmountFailed", { target: path, detail: "it is mounted again and again" });
    }
    await unmountTop(node, top, signal);
  }
}

/**
 * Unmounts the topmost mount at a path. If it is busy, the error names the mounts below it and the processes that use its
 * device, with their pods, and the pod and the PersistentVolume for which kubelet keeps the path.
 * @throws unmountFailed (FAILED_PRECONDITION), deadlineExceeded
 */
export async function unmountTop(node: NodeContext, mount: Mount, signal?: AbortSignal): Promise<void> {
  const target = mount.mountPoint;
  try {
    await unmount(node.system.exec, target, signal);
  } catch (error) {
    if (!isFailure(error, "unmountFailed") || !/\bbusy\b/.test(error.summary)) throw error;
    const users = await usersOf(node, mount, signal).catch((unknown: unknown) => {
      node.logger.debug("the users of a mount could not be found out", { target, error: unknown });
      return [];
    });
    if (users.length === 0) throw error;
    throw failure("unmountFailed", { target, detail: `it is busy: ${users.join("; ")}` }, error);
  }
}

async function usersOf(node: NodeContext, mount: Mount, signal?: AbortSignal): Promise<readonly string[]> {
  const { mountPoint, fsType, device } = mount;
  const below = (await mountsOf(node))
    .filter((each) => each.mountPoint.startsWith(`${mountPoint}/`))
    .map((each) => `mounted below it is ${each.mountPoint}`);
  const seen = fsType === "devtmpfs" ? await statPath(node.system.exec, mountPoint, signal) : undefined;
  const { users, hidden, crowded = [] } = await node.system.helper.users([seen?.number || device], signal);
  const owner = node.driverName === undefined ? undefined : await kubeletPathOf(mountPoint, node.driverName);
  const named =
    owner?.pod === undefined ? [] : [`pod ${owner.pod} has PersistentVolume ${owner.persistentVolume} here`];
  const unseen = hidden === 0 ? [] : [`${counted(hidden, "process", "processes")} could not be looked into`];
  return [...below, ...users.map(describeUse), ...crowded, ...unseen, ...(users.length > 0 ? named : [])];
}
