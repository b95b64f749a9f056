import { unlink } from "node:fs/promises";
import { failure } from "../../domain/errors/driver-error.ts";
import { isOfEarlierDriver } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";
import { complaint } from "../../host/exec.ts";
import { deviceNumber } from "../../host/files.ts";
import { bindMount, unmount } from "../../mount/mounter.ts";
import { mountsAt } from "../../mount/mountinfo.ts";
import { statPath } from "../../mount/stat.ts";
import { nodeMounts } from "../../mount/users.ts";
import { mountinfoOf, mountsOf, type NodeContext, topMount } from "../context.ts";
import { verifyDevice } from "../device-proofs.ts";
import { isDeadNode } from "../health/dead.ts";
import { makeMountPoint, statOf } from "./paths.ts";
import { unmountLayers } from "./unmount.ts";
import { type PublishJob, publishedDifferently } from "./validate.ts";

const SWITCH_DEADLINE_MS = 10_000;

/**
 * The device node of a block volume, bind-mounted onto a file; see publish().
 *
 * Read-only: root can write to a device through a read-only bind mount and against the mode of a node. So the device itself is
 * switched (`blockdev --setro`). The switch holds for the whole device, hence targets that disagree on one node are refused.
 * It holds on this node only and ends with the connection: an NVMe device goes, and the data path of loop devices takes it back.
 */
export async function publishBlock(node: NodeContext, job: PublishJob): Promise<void> {
  const { volume, device, target, readOnly, signal } = job;
  // A bind mount of the node of a vanished device serves only errors.
  await unmountLayers(
    node,
    target,
    async (top) => {
      if (!(await isDeadNode(node, top, signal))) return false;
      const about = { volume, target, root: top.root };
      node.logger.warn("unmounting a device node whose device has vanished", about);
      return true;
    },
    signal,
  );
  const mounts = await mountsOf(node);
  const staged = mountsAt(mounts, job.staging).at(-1);
  if (staged?.device === device.number) {
    throw failure("notStaged", { volume, path: job.staging, found: "it is staged as a filesystem" });
  }
  const targets = [...new Set(await nodeMounts(node.system, mounts, device, signal))];
  if (mountsAt(mounts, target).length > 0) {
    if (!targets.includes(target)) throw failure("pathOccupied", { path: target, found: "another mount" });
    if (device.readOnly === readOnly) return;
    throw publishedDifferently(job);
  }
  if (targets.length > 0 && (job.singleTarget || device.readOnly !== readOnly)) {
    const reason = job.singleTarget
      ? "its access mode allows one target on a node"
      : "a device is read-only or writable as a whole";
    throw failure("publishedElsewhere", { volume, targets, reason });
  }
  if (isOfEarlierDriver(volume) && (await isNodeOf(target, device))) {
    if (device.readOnly === readOnly) return;
    throw publishedDifferently(job);
  }
  const made = await makeMountPoint(volume, target, "file");
  try {
    if (device.readOnly !== readOnly) await switchDevice(node, job);
    await verifyDevice(node, device, 0n, signal);
    await bindMount(node.system.exec, device.path, target, false, mountinfoOf(node), signal);
    const seen = await statPath(node.system.exec, target, signal);
    if (seen?.kind !== "block" || seen.number !== device.number) {
      const detail = `it is ${seen?.kind ?? "absent"} ${seen?.number ?? ""}`.trim();
      throw failure("mountFailed", { source: device.path, target, detail });
    }
  } catch (error) {
    if ((await topMount(node, target)) !== undefined) await unmount(node.system.exec, target).catch(() => {});
    if (made) await unlink(target).catch(() => {});
    throw error;
  }
}

/** Whether a path that is not a mount point is a device node of a device: the earlier driver publishes a volume so. */
async function isNodeOf(path: string, { number }: BlockDevice): Promise<boolean> {
  const stat = await statOf(path);
  return stat?.isBlockDevice() === true && deviceNumber(stat.rdev) === number;
}

async function switchDevice(node: NodeContext, { device, readOnly, signal }: PublishJob): Promise<void> {
  const args = [readOnly ? "--setro" : "--setrw", device.path];
  const command = { program: "blockdev" as const, args, deadlineMs: SWITCH_DEADLINE_MS, signal };
  const result = await node.system.exec(command);
  const now = await node.dataPath.find(device.nqn, signal);
  if (result.code !== 0 || now?.readOnly !== readOnly) {
    const what = `switching ${device.path} to ${readOnly ? "read-only" : "writable"}`;
    throw failure("nodeCommandFailed", { what, detail: complaint(result) });
  }
}
