import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice } from "../host/data-path.ts";
import type { NodeContext } from "./context.ts";

/** The tools of a node for proofs about a device. */
export type Devices = Pick<NodeContext, "system" | "dataPath">;

/** A device may be open for a moment after connect or umount (udev, an ending process): so many looks. */
const ATTEMPTS = 4;
const PAUSE_MS = 250;

/**
 * Proves that nothing uses a device; processes are given a moment to end.
 * @throws deviceInUse (FAILED_PRECONDITION) naming the users; nodeStateUnknown
 */
export async function proveUnused(
  { system, dataPath }: Devices,
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

/**
 * Proves, from the kernel and now, that the device is still that of its NQN, that its node in /dev is that device, and
 * that it is at least as large as the volume. (It may be larger: the publish context is as old as the attachment.)
 * @throws deviceChanged (ABORTED), deviceTooSmall (FAILED_PRECONDITION), nodeStateUnknown
 */
export async function verifyDevice(
  { system, dataPath }: Devices,
  device: BlockDevice,
  sizeBytes: bigint,
  signal?: AbortSignal,
): Promise<void> {
  const { nqn, path } = device;
  const now = await dataPath.find(nqn, signal);
  const changed = (found: string) => failure("deviceChanged", { device: path, nqn, found });
  if (now === undefined || now.name !== device.name || now.number !== device.number) {
    throw changed(now?.path ?? "disconnected");
  }
  const number = await system.nodeNumber(path);
  if (number !== device.number) {
    throw changed(number === undefined ? "absent" : number === "" ? "no block device" : `block ${number}`);
  }
  if (now.sizeBytes < sizeBytes) {
    throw failure("deviceTooSmall", { device: path, nqn, expected: sizeBytes, found: now.sizeBytes });
  }
}
