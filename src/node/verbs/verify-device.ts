import { failure } from "../../domain/errors/driver-error.ts";
import type { BlockDevice, DataPath } from "../../host/data-path.ts";
import type { NodeSystem } from "../../host/system.ts";
import { statPath } from "../../mount/stat.ts";

/**
 * Proves, from the kernel and now, that the device is still the one of its NQN, that its node in /dev is that device,
 * and that it is at least as large as the volume. (It may be larger: the publish context is as old as the attachment.)
 * @throws deviceChanged (ABORTED), deviceTooSmall (FAILED_PRECONDITION), nodeStateUnknown
 */
export async function verifyDevice(
  system: NodeSystem,
  dataPath: DataPath,
  device: BlockDevice,
  sizeBytes: bigint,
  signal?: AbortSignal,
): Promise<void> {
  const { nqn, path } = device;
  const now = await dataPath.find(nqn, signal);
  if (now === undefined || now.name !== device.name || now.number !== device.number) {
    throw failure("deviceChanged", { device: path, nqn, found: now?.path ?? "disconnected" });
  }
  const node = await statPath(system.exec, path, signal);
  if (node?.kind !== "block" || node.number !== device.number) {
    throw failure("deviceChanged", {
      device: path,
      nqn,
      found: `${node?.kind ?? "absent"} ${node?.number ?? ""}`.trim(),
    });
  }
  if (now.sizeBytes < sizeBytes) {
    throw failure("deviceTooSmall", { device: path, nqn, expected: sizeBytes, found: now.sizeBytes });
  }
}
