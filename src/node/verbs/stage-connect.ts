import { failure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { type BlockDevice, type Connection, isLive } from "../../host/data-path.ts";
import { connectionsOf, type NodeContext } from "../context.ts";
import { verifyDevice } from "../device-proofs.ts";
import { release } from "./release.ts";
import type { CheckedContext } from "./validate.ts";

/**
 * Ends the connections of earlier attachments of a volume.
 * @param path canonical staging path
 * @returns the connection of the wanted NQN, if there is one
 * @throws epochOutdated (FAILED_PRECONDITION) if a later attachment is connected; as release
 */
export async function releaseOlderEpochs(
  node: NodeContext,
  volume: VolumeId,
  { nqn: wanted }: CheckedContext,
  path: string,
  signal?: AbortSignal,
): Promise<Connection | undefined> {
  const connections = await connectionsOf(node, volume, signal);
  for (const { epoch, nqn } of connections) {
    if (epoch > wanted.epoch) throw failure("epochOutdated", { volume, nqn: wanted.nqn, connected: nqn });
  }
  for (const connection of connections) {
    // The same epoch may have another nonce: after a restore of the record from a backup, or after a lost race of writers.
    if (connection.nqn === wanted.nqn) continue;
    // This NQN is exported never again. I/O that waits for it would keep its umount, and with it this volume, from ending.
    // Data that was written there after the volume was detached is lost: that is the purpose of fencing.
    if (!isLive(connection)) await node.dataPath.abandon(connection.nqn, signal);
    const left = (await node.dataPath.list(signal)).find(({ nqn }) => nqn === connection.nqn);
    if (left !== undefined) await release(node, left, path, signal);
  }
  return connections.find(({ nqn }) => nqn === wanted.nqn);
}

/**
 * Connects a volume, and proves that the device is its own and large enough.
 * @throws as DataPath.connect and verifyDevice
 */
export async function connectVerified(
  node: NodeContext,
  { target, context }: CheckedContext,
  signal?: AbortSignal,
): Promise<BlockDevice> {
  let device = await node.dataPath.connect(target, signal);
  // The volume may have grown on the RDS since the kernel's last look.
  if (device.sizeBytes < context.sizeBytes) device = await node.dataPath.rescan(device, signal);
  await verifyDevice(node, device, context.sizeBytes, signal);
  return device;
}

/** Ends the connection that a failed stage made, with the same proofs as in unstage. Never throws. */
export async function undoConnect(node: NodeContext, volume: VolumeId, nqn: string): Promise<void> {
  await undo(node, volume, "connect", async () => {
    const connection = (await node.dataPath.list()).find((each) => each.nqn === nqn);
    if (connection !== undefined) await release(node, connection, undefined);
  });
}

/**
 * Undoes one step of a failed stage, without the caller's signal, which may be aborted. Never throws: a failure is logged,
 * as the first error matters more.
 */
export async function undo(
  node: NodeContext,
  volume: VolumeId,
  step: string,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    const about = { volume, step, error };
    node.logger.warn("a step of a failed stage could not be undone; the next call goes on from here", about);
  }
}
