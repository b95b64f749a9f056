import type { Clock } from "../domain/clock.ts";
import type { ClusterReader, PersistentVolumeView } from "./port.ts";
import { volumeOfHandle } from "./reader.ts";

/**
 * Looks up PersistentVolumes in a list that is at most `maxAgeMs` old, for processes that do not follow them: when an RDS
 * is away, every volume of a node has something to report within seconds, and each lookup would list them all. What is
 * not in an older list is looked for in a new one.
 */
export function recentVolumes(
  reader: Pick<ClusterReader, "persistentVolumes">,
  clock: Clock,
  maxAgeMs: number,
): Pick<ClusterReader, "persistentVolumeByHandle"> {
  let known: readonly PersistentVolumeView[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    persistentVolumeByHandle: async (handle, signal) => {
      const found = clock.monotonic() - readAt < maxAgeMs ? volumeOfHandle(handle, known) : undefined;
      if (found !== undefined) return found;
      known = await reader.persistentVolumes(signal);
      readAt = clock.monotonic();
      return volumeOfHandle(handle, known);
    },
  };
}
