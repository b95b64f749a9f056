import { rmdir } from "node:fs/promises";
import { type DriverError, failure, isFailure } from "../../domain/errors/driver-error.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { withSafeOptions } from "../../mount/flags.ts";
import { growFilesystem, isClearlySmaller } from "../../mount/grow.ts";
import { mountFilesystem } from "../../mount/mounter.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { contextDifference } from "../../mount/selinux.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { type NodeContext, topMount } from "../context.ts";
import { verifyDevice } from "../device-proofs.ts";
import { checkExt4 } from "../filesystem/check-filesystem.ts";
import { giveOwnUuid, lookForUuid } from "../filesystem/clone-uuid.ts";
import { ensureFilesystem } from "../filesystem/ensure-filesystem.ts";
import type { FilesystemWish } from "../filesystem/make-filesystem.ts";
import { makeMountPoint } from "./paths.ts";
import { unmountStaging } from "./release.ts";
import { undo } from "./stage-connect.ts";
import type { CheckedContext, Presentation } from "./validate.ts";

/**
 * EUCLEAN and EBADMSG, by which ext4 and XFS report damaged metadata, as mount(8) words them. Source: errno(3); util-linux,
 * libmount/src/context_mount.c, "cannot mount; probably corrupted filesystem on".
 */
const DAMAGED = /Structure needs cleaning|Bad message|probably corrupted filesystem/;

/** A connected volume whose filesystem belongs to a staging path. */
export interface Staging {
  readonly volume: VolumeId;
  /** Canonical. */
  readonly path: string;
  readonly device: BlockDevice;
  readonly presentation: Extract<Presentation, { kind: "filesystem" }>;
}

/**
 * Mounts the filesystem of a device at the staging path, after it was made, if it is new, or checked, if it needs it, and has a UUID
 * of its own, if it is that of a clone. Undoes its own steps on failure.
 * @throws see ensure-filesystem.ts, check-filesystem.ts and clone-uuid.ts; mountFailed, filesystemDamaged, deviceInUse, deviceChanged
 */
export async function mountStaged(
  node: NodeContext,
  staging: Staging,
  { context, nqn }: CheckedContext,
  signal?: AbortSignal,
): Promise<void> {
  const { volume, path, device, presentation } = staging;
  const { filesystem } = presentation;
  const { sizeBytes, filesystemState: state, filesystemUuid } = context;
  const made = await makeMountPoint(volume, path, "directory");
  let mounted = false;
  try {
    const wish = { volume, device, filesystem, state, epoch: nqn.epoch, sizeBytes };
    const isNew = await ensureFilesystem(node, wish, signal);
    const isWritable = !presentation.readOnly && !device.readOnly;
    if (!isNew && filesystem === "ext4" && isWritable) await checkExt4(node, wish, signal);
    const mount = async (flags: readonly string[]) => {
      await verifyDevice(node, device, sizeBytes, signal);
      mounted = true;
      await mountVerified(node, staging, flags, signal);
    };
    // At the staging path: if this process ends in between, unstage and the next stage know the mount.
    const settle = async () => {
      await mount(mountFlags(presentation, true));
      await unmountStaging(node, volume, path, [device], signal);
      mounted = false;
    };
    const hasOriginsUuid =
      !isNew &&
      (await mayHaveOriginsUuid(node, wish, filesystemUuid, isWritable ? settle : undefined, signal));
    await mount(mountFlags(presentation, hasOriginsUuid));
    if (!isNew) await fillDevice(node, staging, "always", signal);
  } catch (error) {
    if (mounted) await undo(node, volume, "mount", () => unmountStaging(node, volume, path, [device]));
    if (made) await undo(node, volume, "mkdir", () => rmdir(path));
    if (!isFailure(error, "mountFailed")) throw error;
    if (DAMAGED.test(error.summary)) {
      const damage = { volume, device: device.path, filesystem, detail: error.summary };
      throw failure("filesystemDamaged", damage, error);
    }
    await blameUsers(node, volume, device, error, signal);
    throw error;
  }
}

async function mountVerified(
  node: NodeContext,
  staging: Staging,
  flags: readonly string[],
  signal?: AbortSignal,
): Promise<void> {
  const { volume, path, device, presentation } = staging;
  const mount = { device: device.path, target: path, fsType: presentation.filesystem, flags };
  await mountFilesystem(node.system.exec, mount, signal);
  const top = await topMount(node, path);
  if (top === undefined) throw failure("notStaged", { volume, path, found: "the mount did not stay" });
  const difference = top.device === device.number ? contextDifference(flags, top) : undefined;
  if (difference !== undefined) throw failure("contextDropped", { volume, path, difference });
  verifyMounted(staging, top);
}

/**
 * Whether the filesystem may have the UUID of its origin, which may be mounted here. The filesystem of a clone gets its own if it may be
 * written to.
 * @param uuid its own; undefined for a volume that is no clone, e.g. an adopted one, and from older controllers
 * @param settle see giveOwnUuid; undefined: nothing may be written
 */
async function mayHaveOriginsUuid(
  node: NodeContext,
  wish: FilesystemWish,
  uuid: string | undefined,
  settle: (() => Promise<void>) | undefined,
  signal?: AbortSignal,
): Promise<boolean> {
  if (uuid === undefined) return wish.state === "keep";
  if (settle === undefined) return (await lookForUuid(node, wish, uuid, signal)).kind !== "same";
  return !(await giveOwnUuid(node, wish, uuid, settle, signal));
}

/**
 * Names the users of a device that could not be mounted: mount(8) says "busy" and names nobody.
 * @throws deviceInUse (FAILED_PRECONDITION) if the device has users
 */
async function blameUsers(
  node: NodeContext,
  volume: VolumeId,
  device: BlockDevice,
  error: DriverError,
  signal?: AbortSignal,
): Promise<void> {
  const users = await node.dataPath.users(device, signal).catch((unknown: unknown) => {
    node.logger.debug("the users of the device could not be found out", { volume, error: unknown });
    return [];
  });
  if (users.length === 0) return;
  const descriptions = users.map(({ description }) => description);
  throw failure("deviceInUse", { volume, device: device.path, users: descriptions }, error);
}

/**
 * Lets the filesystem fill its device: growth that was missed while the volume was away, or a clone that is larger than its
 * origin. A failure is only logged, and the volume is staged as it is: the data is worth more than the size.
 * @param when `if clearly smaller`: a mount of an earlier call is left alone, unless that call ended between mount and growth
 */
export async function fillDevice(
  node: NodeContext,
  { volume, path: mountPoint, device, presentation }: Staging,
  when: "always" | "if clearly smaller",
  signal?: AbortSignal,
): Promise<void> {
  const { filesystem, readOnly } = presentation;
  const { path, sizeBytes } = device;
  if (readOnly) return;
  try {
    if (when !== "always" && !(await isClearlySmaller(node.system, mountPoint, sizeBytes, signal))) return;
    await growFilesystem(node.system, { volume, filesystem, device: path, sizeBytes, mountPoint }, signal);
  } catch (error) {
    signal?.throwIfAborted();
    node.logger.warn("the filesystem could not be grown to the size of its device", { volume, error });
  }
}

function mountFlags(presentation: Staging["presentation"], hasOriginsUuid: boolean): readonly string[] {
  const flags = new Set(presentation.flags);
  if (presentation.readOnly) {
    flags.delete("rw");
    flags.add("ro");
  }
  // The kernel mounts two XFS of one UUID only with it. ext4 needs nothing.
  if (presentation.filesystem === "xfs" && hasOriginsUuid) flags.add("nouuid");
  return withSafeOptions(presentation.filesystem, [...flags]);
}

/**
 * Proves that a mount is the whole filesystem of exactly this device, of the wanted type, SELinux context and writability.
 * @throws pathOccupied, filesystemFailed (FAILED_PRECONDITION), stagedDifferently (ALREADY_EXISTS)
 */
export function verifyMounted({ volume, path, device, presentation }: Staging, mounted: Mount): void {
  const { filesystem, readOnly } = presentation;
  if (mounted.device !== device.number || mounted.root !== "/") {
    throw failure("pathOccupied", { path, found: `a mount of ${mounted.source} instead of ${device.path}` });
  }
  if (mounted.fsType !== filesystem) refuseMounted(volume, mounted, device, `${filesystem} is asked for`);
  const difference = contextDifference(presentation.flags, mounted);
  if (difference !== undefined) throw failure("stagedDifferently", { volume, path, difference });
  const writability = writabilityOf(mounted);
  if (writability === "failed" && !readOnly) throw failure("filesystemFailed", { volume, path });
  if (writability === "read-only" && !readOnly) {
    refuseMounted(volume, mounted, device, "it is read-only, write access is asked for");
  }
  if (writability !== "read-only" && readOnly) {
    refuseMounted(volume, mounted, device, "it is writable, read-only access is asked for");
  }
}

/** @throws stagedDifferently (ALREADY_EXISTS) for a mount of the volume's device, pathOccupied for any other */
export function refuseMounted(volume: VolumeId, mounted: Mount, device: BlockDevice, wanted: string): never {
  const { mountPoint: path, fsType, source } = mounted;
  if (mounted.device !== device.number)
    throw failure("pathOccupied", { path, found: `a mount of ${source}` });
  throw failure("stagedDifferently", { volume, path, difference: `as ${fsType}; ${wanted}` });
}
