import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { FILESYSTEMS } from "../../domain/access-mode.ts";
import { checkRange, outOfRange } from "../../domain/capacity-range.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { type BlockDevice, isLive } from "../../host/data-path.ts";
import { isAbsent } from "../../host/files.ts";
import { growFilesystem } from "../../mount/grow.ts";
import type { Mount } from "../../mount/mountinfo.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { mountsOf, type NodeContext, topMount } from "../context.ts";
import { isDead } from "../health/dead.ts";
import type { ExpandRequest } from "../requests.ts";
import { locate, volumePathOf } from "./locate.ts";
import { canonicalPath, plainPath } from "./paths.ts";
import { presentationOf, requireVolumeId } from "./validate.ts";

/** Longest wait for a device to show its size. A host that reconnects after a re-export needs some seconds. */
const SEEN_MS = 25_000;
const PAUSE_MS = 500;
/** A path that kubelet made less than so long ago, milliseconds, may belong to a pod that has not started. */
const STARTING_MS = 120_000;
/** For so long, milliseconds, a size that is not shown is worth another call. */
const REPEATED_MS = 600_000;
/** So many paths with a miss are remembered; the oldest are forgotten first. */
const CAPACITY = 1_000;
/** By path the size that its volume does not show, and since when (monotonic milliseconds). */
const misses = new WeakMap<NodeContext, Map<string, { required: bigint; since: number }>>();

/**
 * NodeExpandVolume: waits until the device has the wanted size, asking the kernel to look again, then lets the
 * filesystem fill it. A block volume has nothing else to grow. Every node that has the volume is asked; each call may
 * be repeated. Source: CSI specification, NodeExpandVolume.
 * @returns bytes of the device, as the kernel has it now
 * @throws volumePathNotFound (NOT_FOUND); expansionNotSeen, filesystemReadOnly, filesystemFailed (FAILED_PRECONDITION);
 *   capacityOutOfRange;
 *   expansionNotSeenYet, deviceLost, deviceNotReady (UNAVAILABLE); deviceChanged (ABORTED); filesystemNotGrown (INTERNAL)
 */
export async function expand(node: NodeContext, request: ExpandRequest): Promise<bigint> {
  const volume = requireVolumeId(request.volumeId);
  if (request.volumePath === "") throw failure("fieldMissing", { field: "volume_path" });
  const { range, capability, signal } = request;
  if (range !== undefined) checkRange(range);
  if (capability !== undefined) presentationOf(capability);
  const at = await volumePathOf(node, volume, request.volumePath);
  if (at.top !== undefined && (await isDead(node, at.top))) {
    throw failure("deviceLost", { volume, path: at.path });
  }
  const { device: found, mount } = await locate(node, at, signal);
  if (found === undefined) throw failure("volumePathNotFound", { volume, path: request.volumePath });
  await checkStaging(node, request, found);
  if (capability !== undefined && (capability.accessType === "mount") !== (mount !== undefined)) {
    const reason = `${capability.accessType} is asked for, but it is ${mount === undefined ? "a device node" : "a mount"}`;
    throw failure("fieldInvalid", { field: "volume_capability", reason });
  }
  if (mount !== undefined) await requireWritable(node, volume, mount);
  const device = await awaitSize(node, volume, request, found);
  misses.get(node)?.delete(request.volumePath);
  if (range !== undefined && range.limitBytes !== 0n && device.sizeBytes > range.limitBytes) {
    throw outOfRange(range, `${device.path} has ${device.sizeBytes} bytes`);
  }
  if (mount !== undefined) await grow(node, volume, mount, device, signal);
  return device.sizeBytes;
}

/** Refuses a staging path at which another device is mounted. The path is optional and otherwise unused. */
async function checkStaging(
  node: NodeContext,
  { volumeId, stagingTargetPath }: ExpandRequest,
  device: BlockDevice,
): Promise<void> {
  if (stagingTargetPath === "") return;
  const plain = plainPath(stagingTargetPath);
  const path = plain === undefined ? undefined : await canonicalPath(plain);
  const top = path === undefined ? undefined : await topMount(node, path);
  if (path !== undefined && (top === undefined || top.device === device.number)) return;
  throw failure("volumePathNotFound", { volume: volumeId, path: stagingTargetPath });
}

/** A filesystem that is mounted read-only as a whole cannot grow; a read-only bind mount of a writable one can. */
async function requireWritable(node: NodeContext, volume: string, mount: Mount): Promise<void> {
  const own = (await mountsOf(node)).filter((each) => each.device === mount.device);
  const found = new Set([mount, ...own].map(writabilityOf));
  const { mountPoint: path } = mount;
  if (found.has("failed")) throw failure("filesystemFailed", { volume, path });
  if (!found.has("writable")) throw failure("filesystemReadOnly", { volume, path });
}

/**
 * Looks until the device has the size, also while its connection is down: it may have been re-exported.
 * @throws expansionNotSeen, expansionNotSeenYet when the connection works and the size stays; else deviceNotReady (UNAVAILABLE)
 */
async function awaitSize(
  node: NodeContext,
  volume: string,
  { volumePath, range, signal }: ExpandRequest,
  device: BlockDevice,
): Promise<BlockDevice> {
  const { dataPath, system } = node;
  const required = range?.requiredBytes ?? 0n;
  const { nqn } = device;
  const started = system.clock.monotonic();
  let now = device;
  // Also without a required size: the answer is the present one.
  for (let first = true; first || now.sizeBytes < required; first = false) {
    const connection = (await dataPath.list(signal)).find((each) => each.nqn === nqn);
    if (connection === undefined) throw failure("deviceLost", { volume, path: device.path });
    const isUsable = isLive(connection) && connection.device !== undefined;
    if (isUsable && (now.sizeBytes < required || required === 0n)) now = await dataPath.rescan(now, signal);
    if (now.number !== device.number) {
      throw failure("deviceChanged", { device: device.path, nqn, found: now.path });
    }
    if (now.sizeBytes >= required) break;
    const waited = system.clock.monotonic() - started;
    if (waited >= SEEN_MS) {
      const seconds = Math.round(waited / 1000);
      if (!isUsable) throw failure("deviceNotReady", { nqn, state: connection.state, seconds });
      const isRepeated = await mayBeRepeated(node, volumePath, required);
      const params = { volume, device: now.path, required, found: now.sizeBytes, seconds };
      throw isRepeated ? failure("expansionNotSeenYet", params) : failure("expansionNotSeen", params);
    }
    await system.clock.sleep(PAUSE_MS, signal);
  }
  return now;
}

/**
 * Whether kubelet is to call again. After FAILED_PRECONDITION it does not, as long as the volume stays on the node, and lets the pod
 * start. After UNAVAILABLE it does, with pauses of up to two minutes, and lets no pod start before. So a volume in use is tried again
 * for a while, and a pod that may be starting can start.
 * Source: Kubernetes 1.36, pkg/volume/util/operationexecutor/node_expander.go (expandOnPlugin);
 * pkg/kubelet/volumemanager/cache/actual_state_of_world.go (volumeNeedsExpansion).
 */
async function mayBeRepeated(node: NodeContext, path: string, required: bigint): Promise<boolean> {
  const { clock } = node.system;
  const known = misses.get(node) ?? new Map<string, { required: bigint; since: number }>();
  misses.set(node, known);
  const before = known.get(path);
  const since = before?.required === required ? before.since : clock.monotonic();
  known.set(path, { required, since });
  const oldest = known.size > CAPACITY ? known.keys().next().value : undefined;
  if (oldest !== undefined) known.delete(oldest);
  if (clock.monotonic() - since >= REPEATED_MS) return false;
  // kubelet makes the directory for the pod, and writes its record of a filesystem volume before each mount.
  const directory = dirname(path);
  const ages = await Promise.all(
    [directory, `${directory}/vol_data.json`].map(async (file) => {
      try {
        return clock.now() - (await stat(file)).mtimeMs;
      } catch (error) {
        return isAbsent(error) ? Number.POSITIVE_INFINITY : 0;
      }
    }),
  );
  return ages.every((age) => age >= STARTING_MS);
}

async function grow(
  node: NodeContext,
  volume: string,
  mount: Mount,
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<void> {
  const filesystem = FILESYSTEMS.find((known) => known === mount.fsType);
  if (filesystem === undefined) {
    const detail = `${mount.fsType} is not a filesystem of this driver`;
    throw failure("filesystemNotGrown", { volume, device: device.path, detail });
  }
  // xfs_growfs takes any whole, writable mount. The published one may be read-only, or a part of the filesystem.
  const whole = [mount, ...(await mountsOf(node))].find(
    (each) => each.device === mount.device && each.root === "/" && writabilityOf(each) === "writable",
  );
  if (whole === undefined) throw failure("filesystemReadOnly", { volume, path: device.path });
  const { sizeBytes, path } = device;
  const growable = { volume, filesystem, device: path, sizeBytes, mountPoint: whole.mountPoint };
  await growFilesystem(node.system, growable, signal);
}
