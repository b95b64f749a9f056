import { type NodeContext, topMount } from "../context.ts";
import { clearDeadStaging, clearFailedStaging, clearHalfStaged, endDeadConnection } from "../health/heal.ts";
import type { StageRequest } from "../requests.ts";
import { checkPath, requireCanonicalPath, requirePropagation } from "./paths.ts";
import { requireOwnNumber } from "./reused-number.ts";
import { connectVerified, releaseOlderEpochs, undoConnect } from "./stage-connect.ts";
import { fillDevice, mountStaged, refuseMounted, verifyMounted } from "./stage-mount.ts";
import {
  attachedAs,
  checkContext,
  presentationOf,
  requireKnownVolume,
  requireOwnAddress,
  requireVolumeId,
} from "./validate.ts";

/**
 * NodeStageVolume: connects the volume and, for a filesystem, mounts it at the staging path; a block volume has
 * nothing at the staging path. A call for a volume that is staged already changes nothing; a dead mount or connection is
 * cleared first (heal.ts). A failure undoes the steps of this call, and no others. Source: CSI specification, NodeStageVolume.
 * @throws see validate.ts, ensure-filesystem.ts, check-filesystem.ts, release.ts and data-path.ts; stagedDifferently (ALREADY_EXISTS)
 */
export async function stage(node: NodeContext, request: StageRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  const requested = checkPath("staging_target_path", request.stagingTargetPath);
  const asked = presentationOf(request.capability);
  const volume = requireKnownVolume(request.volumeId);
  const checked = checkContext(node, volume, request.publishContext);
  const presentation = attachedAs(asked, checked.context);
  requireOwnAddress(node, volume, checked.context);
  const path = await requireCanonicalPath(requested);
  if (presentation.kind === "filesystem") await requirePropagation(node, path);
  const { signal } = request;

  const existing = await releaseOlderEpochs(node, volume, checked, path, signal);
  await clearDeadStaging(node, volume, path, signal);
  if (presentation.kind === "filesystem" && existing === undefined) node.system.helper.prepare?.();
  const connectedBefore = existing !== undefined && !(await endDeadConnection(node, existing, path, signal));
  try {
    const device = await connectVerified(node, checked, signal);
    await requireOwnNumber(node, volume, device, path, signal);
    // During the wait for the new connection an old one may have ended, and its mount with it.
    await clearDeadStaging(node, volume, path, signal);
    if (presentation.kind === "filesystem" && !presentation.readOnly) {
      await clearFailedStaging(node, volume, path, device, signal);
      const { filesystemUuid: uuid } = checked.context;
      const { filesystem } = presentation;
      if (uuid !== undefined && !device.readOnly)
        await clearHalfStaged(node, volume, path, device, filesystem, uuid, signal);
    }
    const mounted = await topMount(node, path);
    if (presentation.kind === "block") {
      if (mounted !== undefined) refuseMounted(volume, mounted, device, "block access is asked for");
      return;
    }
    const staging = { volume, path, device, presentation };
    if (mounted === undefined) await mountStaged(node, staging, checked, signal);
    else {
      verifyMounted(staging, mounted);
      await fillDevice(node, staging, "if clearly smaller", signal);
    }
  } catch (error) {
    if (!connectedBefore) await undoConnect(node, volume, checked.nqn.nqn);
    throw error;
  }
}
