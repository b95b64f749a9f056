import { allowsSeveralTargets } from "../../domain/access-mode.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { NodeContext } from "../context.ts";
import type { PublishRequest } from "../requests.ts";
import { checkPath, requireCanonicalPath, requirePropagation } from "./paths.ts";
import { publishBlock } from "./publish-block.ts";
import { publishFilesystem } from "./publish-filesystem.ts";
import { requireOwnNumber } from "./reused-number.ts";
import { attachedAs, checkContext, presentationOf, requireKnownVolume, requireVolumeId } from "./validate.ts";

/**
 * NodePublishVolume: makes a staged volume visible at the target path, as a bind mount of the staging directory or of
 * the device node. A mount that exists at the target is verified. Source: CSI specification, NodePublishVolume.
 * @throws notStaged, publishedElsewhere, pathOccupied (FAILED_PRECONDITION); publishedDifferently (ALREADY_EXISTS)
 */
export async function publish(node: NodeContext, request: PublishRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  if (request.targetPath === "") throw failure("fieldMissing", { field: "target_path" });
  const asked = presentationOf(request.capability);
  if (request.stagingTargetPath === "") throw failure("stagingPathMissing", {});
  const stagingPath = checkPath("staging_target_path", request.stagingTargetPath);
  const targetPath = checkPath("target_path", request.targetPath);
  const volume = requireKnownVolume(request.volumeId);
  const { nqn, context } = checkContext(node, volume, request.publishContext);
  const presentation = attachedAs(asked, context);
  const { signal } = request;
  const staging = await requireCanonicalPath(stagingPath);
  const target = await requireCanonicalPath(targetPath);
  await requirePropagation(node, target);
  const device = await node.dataPath.find(nqn.nqn, signal);
  if (device === undefined) {
    throw failure("notStaged", { volume, path: staging, found: `${nqn.nqn} is not connected` });
  }
  await requireOwnNumber(node, volume, device, staging, signal);
  const job = {
    volume,
    device,
    staging,
    target,
    readOnly: request.readonly || presentation.readOnly,
    singleTarget: request.capability !== undefined && !allowsSeveralTargets(request.capability.accessMode),
    signal,
  };
  if (presentation.kind === "block") await publishBlock(node, job);
  else await publishFilesystem(node, job);
}
