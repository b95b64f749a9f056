import { lstat, rmdir, unlink } from "node:fs/promises";
import { DriverError, failure } from "../../domain/errors/driver-error.ts";
import { parseVolumeId } from "../../domain/volume-id.ts";
import { isAbsent } from "../../host/files.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { nodeMounts } from "../../mount/users.ts";
import { connectionsOf, devicesOf, type NodeContext } from "../context.ts";
import { isDead } from "../health/dead.ts";
import type { UnpublishRequest } from "../requests.ts";
import { canonicalPath, checkPath, kindOf } from "./paths.ts";
import { unmountLayers } from "./unmount.ts";
import { requireVolumeId } from "./validate.ts";

/**
 * NodeUnpublishVolume: unmounts the target and removes it with unlink or rmdir, which fail on a path that holds data. An
 * absent target is success; a device node that an earlier driver made is accepted. A target that a process keeps busy stays,
 * and the error names the process, its pod and the PersistentVolume.
 * Source: CSI specification, NodeUnpublishVolume.
 * @throws pathOccupied, unmountFailed (FAILED_PRECONDITION); nodeStateUnknown
 */
export async function unpublish(node: NodeContext, request: UnpublishRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  const requested = checkPath("target_path", request.targetPath);
  const { signal } = request;
  const path = await canonicalPath(requested);
  if (path === undefined) return;
  const foreign = await unmountLayers(
    node,
    path,
    (top) => isOurs(node, request.volumeId, path, top, signal),
    signal,
  );
  if (foreign !== undefined) {
    const found = `a mount of ${foreign.source}, which is not volume ${request.volumeId}`;
    throw failure("pathOccupied", { path, found });
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
  for (const device of devicesOf(await connectionsOf(node, parseVolumeId(volumeId), signal))) {
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
    const found = `a ${kind} that cannot be removed (${String(error)})`;
    throw failure("pathOccupied", { path, found }, error);
  }
}
