import { parseVolumeId } from "../../domain/volume-id.ts";
import { connectionsOf, devicesOf, type NodeContext, topMount } from "../context.ts";
import type { UnstageRequest } from "../requests.ts";
import { canonicalPath, checkPath } from "./paths.ts";
import { release, unmountStaging } from "./release.ts";
import { requireVolumeId } from "./validate.ts";

/**
 * NodeUnstageVolume: unmounts the staging path, proves that nothing uses the device, disconnects every connection of
 * this volume (normally one) and proves that it is gone. Nothing staged is success.
 *
 * It goes on to its end when its caller has gone: a kubelet that is killed during the call does not repeat it, and lets the volume be
 * detached (seen with 1.36). Each step has a deadline of its own.
 * Source: CSI specification, NodeUnstageVolume.
 * @throws deviceInUse, pathOccupied, unmountFailed (FAILED_PRECONDITION); disconnectNotProven, nodeStateUnknown
 */
export async function unstage(node: NodeContext, request: UnstageRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  const requested = checkPath("staging_target_path", request.stagingTargetPath);
  const volume = parseVolumeId(request.volumeId);
  if (volume === undefined) {
    // No volume of ours has this handle, so no mount there is ours.
    node.logger.warn("asked to unstage a volume that cannot exist", { volume: request.volumeId });
    return;
  }
  // Without its parent the path is no mount point, but the connection may still exist.
  const path = await canonicalPath(requested);
  const connections = await connectionsOf(node, volume);
  const devices = devicesOf(connections);
  if (path !== undefined && (await topMount(node, path)) !== undefined) {
    await unmountStaging(node, volume, path, devices);
  }
  for (const connection of connections) await release(node, connection, path);
}
