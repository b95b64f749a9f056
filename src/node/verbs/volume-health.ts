import { failure, isFailure } from "../../domain/errors/driver-error.ts";
import { type HealthEntry, healthOfFaults } from "../../inspect/health.ts";
import type { NodeContext } from "../context.ts";
import { survey } from "../health/survey.ts";
import type { HealthRequest } from "../requests.ts";
import { look } from "./stats.ts";
import { requireKnownVolume, requireVolumeId } from "./validate.ts";

/**
 * NodeGetVolumeHealth: what is wrong with a volume on this node. At the path where it is published the answer is that of NodeGetVolumeStats;
 * without such a path it is about everything that the node has of the volume, as after a stage that failed.
 * Source: CSI specification 1.13, NodeGetVolumeHealth.
 * @throws fieldMissing; volumeNotFound, volumePathNotFound (NOT_FOUND) when the node has nothing of the volume; nodeStateUnknown
 */
export async function volumeHealth(
  node: NodeContext,
  request: HealthRequest,
): Promise<readonly HealthEntry[]> {
  const { volumePublishPath, stagingTargetPath, signal } = request;
  const handle = requireVolumeId(request.volumeId);
  const volume = requireKnownVolume(handle);
  if (volumePublishPath !== "") {
    try {
      const at = { volumeId: handle, volumePath: volumePublishPath, stagingTargetPath, signal };
      return healthOfFaults((await look(node, at)).conditions);
    } catch (error) {
      // Nothing is there yet, or any more.
      if (!isFailure(error, "volumePathNotFound")) throw error;
    }
  }
  const found = await survey(node, signal, volume);
  if (!found.has(volume)) {
    const path = volumePublishPath || stagingTargetPath || "any path of this node";
    throw failure("volumePathNotFound", { volume, path });
  }
  const conditions = found.get(volume);
  if (conditions === undefined) {
    throw failure("nodeStateUnknown", { what: `volume ${volume}`, detail: "it could not be looked at" });
  }
  return healthOfFaults(conditions);
}
