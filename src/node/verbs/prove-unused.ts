import { failure } from "../../domain/errors/driver-error.ts";
import type { BlockDevice, DataPath } from "../../host/data-path.ts";
import type { NodeSystem } from "../../host/system.ts";

/** A device may be open for a moment after connect or umount (udev, an ending process): asked so often. */
const ATTEMPTS = 4;
const PAUSE_MS = 250;

/**
 * Proves that nothing uses a device; processes are given a moment to end.
 * @throws deviceInUse (FAILED_PRECONDITION) naming the users; nodeStateUnknown
 */
export async function proveUnused(
  system: NodeSystem,
  dataPath: DataPath,
  volume: string,
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const users = await dataPath.users(device, signal);
    if (users.length === 0) return;
    // A mount does not end by waiting.
    if (attempt === ATTEMPTS || users.some((user) => user.kind === "mount")) {
      const descriptions = users.map((user) => user.description);
      throw failure("deviceInUse", { volume, device: device.path, users: descriptions });
    }
    await system.clock.sleep(PAUSE_MS * attempt, signal);
  }
}
