import { lstat, rmdir, unlink } from "node:fs/promises";
import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import { isAbsent } from "../../host/files.ts";
import { unmount } from "../../mount/mounter.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { nodeMounts } from "../../mount/users.ts";
import { mountsOf, type NodeContext } from "../context.ts";
import { isDead } from "../health/dead.ts";
import type { UnpublishRequest } from "../requests.ts";
import { canonicalPath, checkPath, kindOf } from "./paths.ts";
import { requireVolumeId } from "./validate.ts";

const MAX_LAYERS = 32;

/**
 * NodeUnpublishVolume: unmounts the target and removes it with unlink or rmdir, which fail on anything that holds
 * data. Not there is success; a device node that an earlier driver made is accepted.
 * Source: CSI specification, NodeUnpublishVolume.
 * @throws pathOccupied, unmountFailed (FAILED_PRECONDITION); nodeStateUnknown
 */
export async function unpublish(node: NodeContext, request: UnpublishRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  const requested = checkPath("target_path", request.targetPath);
  const { signal } = request;
  const path = await canonicalPath(requested);
  if (path === undefined) return;
  for (let layer = 0; ; layer += 1) {
    const top = mountsAt(await mountsOf(node), path).at(-1);
    if (top === undefined) break;
    if (layer === MAX_LAYERS)
      throw failure("unmountFailed", { target: path, detail: "it is mounted again and again" });
    if (!(await isOurs(node, request.volumeId, path, top, signal))) {
      throw failure("pathOccupied", {
        path,
        found: `a mount of ${top.source}, which is not volume ${request.volumeId}`,
      });
    }
    await unmount(node.system.exec, path, signal);
  }
  await removeTarget(path);
}

/** A mount of this volume in any epoch, or one whose device has vanished, or of a device node that has. */
async function isOurs(
  node: NodeContext,
  volumeId: string,
  path: string,
  mount: Mount,
  signal?: AbortSignal,
): Promise<boolean> {
  if (await isDead(node, mount)) return true;
  const volume = parseVolumeId(volumeId);
  const connections = (await node.dataPath.list(signal)).filter(({ slot }) => slot === volume);
  for (const { device } of connections) {
    if (device === undefined) continue;
    if (mount.device === device.number) return true;
    if ((await nodeMounts(node.system, [mount], device, signal)).includes(path)) return true;
  }
  // A bind mount of a node in /dev whose device has gone or got another name: unmounting it touches no data.
  return mount.fsType === "devtmpfs" && mount.root !== "/";
}

async function removeTarget(path: string): Promise<void> {
  const kind = await kindOf(path);
  if (kind === undefined) return;
  if (kind === "link" || kind === "other") throw failure("pathOccupied", { path, found: `a ${kind}` });
  try {
    // The file under a device node is empty when the driver makes it.
    if (kind === "file" && (await lstat(path)).size > 0) {
      throw failure("pathOccupied", { path, found: "a file with content" });
    }
    await (kind === "directory" ? rmdir(path) : unlink(path));
  } catch (error) {
    if (isAbsent(error)) return;
    if (error instanceof DriverError) throw error;
    throw failure(
      "pathOccupied",
      { path, found: `a ${kind} that cannot be removed (${String(error)})` },
      error,
    );
  }
}
