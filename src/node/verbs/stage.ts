import { mkdir, rmdir } from "node:fs/promises";
import { type DriverError, failure, isFailure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice, Connection } from "../../host/data-path.ts";
import { growFilesystem, isClearlySmaller } from "../../mount/grow.ts";
import { mountFilesystem } from "../../mount/mounter.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { withSafeOptions } from "../../mount/safe-options.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { checkExt4 } from "../filesystem/check-filesystem.ts";
import { ensureFilesystem } from "../filesystem/ensure-filesystem.ts";
import { clearDeadStaging, clearFailedStaging, endDeadConnection } from "../health/heal.ts";
import { isLive } from "../health/health.ts";
import type { NodeContext, StageRequest } from "../types.ts";
import { checkPath, kindOf, making, requireCanonicalPath, requireEmpty } from "./paths.ts";
import { requirePropagation } from "./propagation.ts";
import { mountsOf, release, unmountStaging } from "./release.ts";
import { requireOwnNumber } from "./reused-number.ts";
import {
  type CheckedContext,
  checkContext,
  type Presentation,
  presentationOf,
  requireKnownVolume,
  requireOwnAddress,
  requireVolumeId,
} from "./validate.ts";
import { verifyDevice } from "./verify-device.ts";

/**
 * EUCLEAN and EBADMSG, by which ext4 and XFS say that what they read cannot be true, as mount(8) words them. Source:
 * errno(3); util-linux, libmount/src/context_mount.c, "cannot mount; probably corrupted filesystem on".
 */
const DAMAGED = /Structure needs cleaning|Bad message|probably corrupted filesystem/;

type FilesystemPresentation = Extract<Presentation, { kind: "filesystem" }>;

/**
 * NodeStageVolume: connects the volume and, for a filesystem, mounts it at the staging path; a block volume has
 * nothing at the staging path. Staging what is staged already changes nothing; a dead mount or connection makes way
 * (heal.ts). A failure undoes what this call did, and nothing else. Source: CSI specification, NodeStageVolume.
 * @throws see validate.ts, ensure-filesystem.ts, check-filesystem.ts, release.ts and data-path.ts; stagedDifferently (ALREADY_EXISTS)
 */
export async function stage(node: NodeContext, request: StageRequest): Promise<void> {
  requireVolumeId(request.volumeId);
  const requested = checkPath("staging_target_path", request.stagingTargetPath);
  const presentation = presentationOf(request.capability);
  const volume = requireKnownVolume(request.volumeId);
  const checked = checkContext(node, volume, request.publishContext);
  requireOwnAddress(node, volume, checked.context);
  const path = await requireCanonicalPath(requested);
  if (presentation.kind === "filesystem") await requirePropagation(node, path);
  const { signal } = request;

  const existing = await releaseOlderEpochs(node, volume, checked, path, signal);
  await clearDeadStaging(node, volume, path, signal);
  const connectedBefore = existing !== undefined && !(await endDeadConnection(node, existing, path, signal));
  try {
    const device = await connectVerified(node, checked, signal);
    await requireOwnNumber(node, volume, device, path, signal);
    // An old connection may have ended, and its mount died, while the new one was waited for.
    await clearDeadStaging(node, volume, path, signal);
    if (presentation.kind === "filesystem" && !presentation.readOnly) {
      await clearFailedStaging(node, volume, path, device, signal);
    }
    const mounted = mountsAt(await mountsOf(node), path).at(-1);
    if (presentation.kind === "block") {
      if (mounted !== undefined) refuseMounted(volume, path, mounted, device, "block access is asked for");
      return;
    }
    if (mounted === undefined) await mountStaged(node, volume, checked, path, device, presentation, signal);
    else {
      verifyMounted(volume, path, mounted, device, presentation);
      await fillDevice(node, volume, path, device, presentation, "if clearly smaller", signal);
    }
  } catch (error) {
    if (!connectedBefore) await undoConnect(node, volume, checked.nqn.nqn);
    throw error;
  }
}

/** Ends connections of earlier attachments; answers with the wanted one if it exists already. */
async function releaseOlderEpochs(
  node: NodeContext,
  volume: VolumeId,
  checked: CheckedContext,
  path: string,
  signal?: AbortSignal,
): Promise<Connection | undefined> {
  const connections = (await node.dataPath.list(signal)).filter(({ slot }) => slot === volume);
  for (const connection of connections) {
    if (connection.epoch > checked.nqn.epoch) {
      throw failure("epochOutdated", { volume, nqn: checked.nqn.nqn, connected: connection.nqn });
    }
  }
  for (const connection of connections) {
    // The same epoch under another nonce: the record was restored from a backup, or a writer that lost the race had it.
    if (connection.nqn === checked.nqn.nqn) continue;
    // It is not exported any more and never will be: I/O that waits for it would keep its umount, and so this volume,
    // from ending. What was written there after the volume was detached is lost by design, that is what fencing means.
    if (!isLive(connection)) await node.dataPath.abandon(connection.nqn, signal);
    const left = (await node.dataPath.list(signal)).find(({ nqn }) => nqn === connection.nqn);
    if (left !== undefined) await release(node, left, path, signal);
  }
  return connections.find(({ nqn }) => nqn === checked.nqn.nqn);
}

async function connectVerified(
  node: NodeContext,
  { target, context }: CheckedContext,
  signal?: AbortSignal,
): Promise<BlockDevice> {
  let device = await node.dataPath.connect(target, signal);
  // Grown on the RDS since the kernel last looked.
  if (device.sizeBytes < context.sizeBytes) device = await node.dataPath.rescan(device, signal);
  await verifyDevice(node.system, node.dataPath, device, context.sizeBytes, signal);
  return device;
}

async function mountStaged(
  node: NodeContext,
  volume: VolumeId,
  { context, nqn }: CheckedContext,
  path: string,
  device: BlockDevice,
  presentation: FilesystemPresentation,
  signal?: AbortSignal,
): Promise<void> {
  const { filesystem } = presentation;
  const made = await makeDirectory(volume, path);
  let mounted = false;
  try {
    const state = context.filesystemState;
    const { sizeBytes } = context;
    const wish = { volume, device, filesystem, state, epoch: nqn.epoch, sizeBytes };
    const isNew = await ensureFilesystem(node.system, node.dataPath, wish, signal);
    const repairable = filesystem === "ext4" && !presentation.readOnly && !device.readOnly;
    if (!isNew && repairable) await checkExt4(node.system, node.dataPath, wish, signal);
    const flags = mountFlags(presentation, state === "keep");
    await verifyDevice(node.system, node.dataPath, device, context.sizeBytes, signal);
    mounted = true;
    await mountFilesystem(
      node.system.exec,
      { device: device.path, target: path, fsType: filesystem, flags },
      signal,
    );
    const top = mountsAt(await mountsOf(node), path).at(-1);
    if (top === undefined) throw failure("notStaged", { volume, path, found: "the mount did not stay" });
    verifyMounted(volume, path, top, device, presentation);
    if (!isNew) await fillDevice(node, volume, path, device, presentation, "always", signal);
  } catch (error) {
    if (mounted) await undo(node, volume, "mount", () => unmountStaging(node, volume, path, [device]));
    if (made) await undo(node, volume, "mkdir", () => rmdir(path));
    if (isFailure(error, "mountFailed") && DAMAGED.test(error.summary)) {
      throw failure(
        "filesystemDamaged",
        { volume, device: device.path, filesystem, detail: error.summary },
        error,
      );
    }
    if (isFailure(error, "mountFailed")) await blameUsers(node, volume, device, error, signal);
    throw error;
  }
}

/**
 * mount(8) says "busy" and names nobody: whoever has the device is found as before a first mkfs.
 * @throws deviceInUse (FAILED_PRECONDITION) if somebody has it
 */
async function blameUsers(
  node: NodeContext,
  volume: VolumeId,
  device: BlockDevice,
  error: DriverError,
  signal?: AbortSignal,
): Promise<void> {
  const users = await node.dataPath.users(device, signal).catch((unknown: unknown) => {
    node.logger.debug("who uses the device is not known", { volume, error: unknown });
    return [];
  });
  if (users.length === 0) return;
  const descriptions = users.map(({ description }) => description);
  throw failure("deviceInUse", { volume, device: device.path, users: descriptions }, error);
}

/**
 * Growth that was missed while the volume was away, or a clone that is larger than its origin. The data is worth more
 * than the size: if it fails, that is logged, and the volume is staged as it is.
 * @param when a mount of an earlier call is left alone, unless that call ended between mount and growth
 */
async function fillDevice(
  node: NodeContext,
  volume: VolumeId,
  mountPoint: string,
  { path, sizeBytes }: BlockDevice,
  { filesystem, readOnly }: FilesystemPresentation,
  when: "always" | "if clearly smaller",
  signal?: AbortSignal,
): Promise<void> {
  if (readOnly) return;
  try {
    if (when !== "always" && !(await isClearlySmaller(node.system, mountPoint, sizeBytes, signal))) return;
    await growFilesystem(node.system, { volume, filesystem, device: path, sizeBytes, mountPoint }, signal);
  } catch (error) {
    signal?.throwIfAborted();
    node.logger.warn("the filesystem could not be grown to the size of its device", { volume, error });
  }
}

function mountFlags(presentation: FilesystemPresentation, mayBeClone: boolean): readonly string[] {
  const flags = new Set(presentation.flags);
  if (presentation.readOnly) {
    flags.delete("rw");
    flags.add("ro");
  }
  // A restored or cloned XFS has the UUID of its origin, which may be mounted here.
  if (presentation.filesystem === "xfs" && mayBeClone) flags.add("nouuid");
  return withSafeOptions(presentation.filesystem, [...flags]);
}

/** Healthy means: the whole filesystem of exactly this device, of the wanted type and writability. */
function verifyMounted(
  volume: VolumeId,
  path: string,
  mounted: Mount,
  device: BlockDevice,
  presentation: FilesystemPresentation,
): void {
  if (mounted.device !== device.number || mounted.root !== "/") {
    throw failure("pathOccupied", { path, found: `a mount of ${mounted.source} instead of ${device.path}` });
  }
  if (mounted.fsType !== presentation.filesystem) {
    refuseMounted(volume, path, mounted, device, `${presentation.filesystem} is asked for`);
  }
  const writability = writabilityOf(mounted);
  if (writability === "failed" && !presentation.readOnly) throw failure("filesystemFailed", { volume, path });
  if (writability === "read-only" && !presentation.readOnly) {
    refuseMounted(volume, path, mounted, device, "it is read-only, write access is asked for");
  }
  if (writability !== "read-only" && presentation.readOnly) {
    refuseMounted(volume, path, mounted, device, "it is writable, read-only access is asked for");
  }
}

function refuseMounted(
  volume: VolumeId,
  path: string,
  mounted: Mount,
  device: BlockDevice,
  wanted: string,
): never {
  if (mounted.device !== device.number) {
    throw failure("pathOccupied", { path, found: `a mount of ${mounted.source}` });
  }
  throw failure("stagedDifferently", { volume, path, difference: `as ${mounted.fsType}; ${wanted}` });
}

async function makeDirectory(volume: string, path: string): Promise<boolean> {
  const kind = await kindOf(path);
  if (kind === "directory") {
    await requireEmpty(volume, path, kind);
    return false;
  }
  if (kind !== undefined) throw failure("pathOccupied", { path, found: `a ${kind}` });
  await making(path, () => mkdir(path, { mode: 0o750 }));
  return true;
}

/** The connection that this call made goes again, with the same proofs as in unstage. */
async function undoConnect(node: NodeContext, volume: VolumeId, nqn: string): Promise<void> {
  await undo(node, volume, "connect", async () => {
    const connection = (await node.dataPath.list()).find((each) => each.nqn === nqn);
    if (connection !== undefined) await release(node, connection, undefined);
  });
}

/** Runs without the caller's signal, which may be aborted; a failure is logged, as the first error matters more. */
async function undo(
  node: NodeContext,
  volume: VolumeId,
  step: string,
  action: () => Promise<void>,
): Promise<void> {
  try {
    await action();
  } catch (error) {
    node.logger.warn("a failed stage could not be undone wholly; the next call goes on from here", {
      volume,
      step,
      error,
    });
  }
}
