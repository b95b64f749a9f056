import type { Clock } from "../domain/clock.ts";
import type { ClusterReader, PersistentVolumeView } from "./port.ts";
import { volumeOfHandle } from "./reader.ts";

/** How old the list may be, milliseconds. */
const MAX_AGE_MS = 60_000;

/**
 * Finds the claims of events in a list of PersistentVolumes that is at most a minute old: when an RDS is away, every volume has an event
 * within seconds, and each lookup would list all PersistentVolumes. A volume that is not in an older list is looked for in a new one.
 * Decisions about a volume ask the ClusterReader instead.
 */
export function recentVolumes(
  reader: Pick<ClusterReader, "persistentVolumes">,
  clock: Clock,
): Pick<ClusterReader, "persistentVolumeByHandle"> {
  let known: readonly PersistentVolumeView[] = [];
  let readAt = Number.NEGATIVE_INFINITY;
  return {
    persistentVolumeByHandle: async (handle, signal) => {
      const found = clock.monotonic() - readAt < MAX_AGE_MS ? volumeOfHandle(handle, known) : undefined;
      if (found !== undefined) return found;
      known = await reader.persistentVolumes(signal);
      readAt = clock.monotonic();
      return volumeOfHandle(handle, known);
    },
  };
}
