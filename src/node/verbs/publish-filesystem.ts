import { mkdir, rmdir } from "node:fs/promises";
import { failure } from "../../domain/errors/driver-error.ts";
import { bindMount, unmount } from "../../mount/mounter.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { mountinfoOf, mountsOf, type NodeContext } from "../context.ts";
import { isDead } from "../health/dead.ts";
import { kindOf, making, requireEmpty } from "./paths.ts";
import type { PublishJob } from "./validate.ts";

/** The bind mount of a staged filesystem; see publish(). */
export async function publishFilesystem(node: NodeContext, job: PublishJob): Promise<void> {
  const { volume, device, staging, target, readOnly, signal } = job;
  const mounts = await mountsOf(node);
  const staged = mountsAt(mounts, staging).at(-1);
  if (staged === undefined || staged.device !== device.number || staged.root !== "/") {
    const found = staged === undefined ? "nothing is mounted there" : `${staged.source} is mounted there`;
    throw failure("notStaged", { volume, path: staging, found });
  }
  if (!readOnly) {
    const writability = writabilityOf(staged);
    if (writability === "failed") throw failure("filesystemFailed", { volume, path: staging });
    if (writability === "read-only") {
      throw failure("publishedDifferently", { volume, target, difference: "it is staged read-only" });
    }
  }
  const published = mountsAt(mounts, target).at(-1);
  if (published !== undefined) {
    if (await isPublished(node, job, published)) return;
    // It is dead: nothing is lost by unmounting it.
    await unmount(node.system.exec, target, signal);
  }
  if (job.singleTarget) {
    const others = otherTargets(mounts, job);
    if (others.length > 0) {
      const reason = "its access mode allows one target on a node";
      throw failure("publishedElsewhere", { volume, targets: others, reason });
    }
  }
  const kind = await kindOf(target);
  if (kind !== undefined && kind !== "directory")
    throw failure("pathOccupied", { path: target, found: `a ${kind}` });
  if (kind === "directory") await requireEmpty(volume, target, kind);
  if (kind === undefined) await making(target, () => mkdir(target, { mode: 0o750 }));
  try {
    await bindMount(node.system.exec, staging, target, readOnly, mountinfoOf(node), signal);
    const now = mountsAt(await mountsOf(node), target).at(-1);
    if (now === undefined || !(await isPublished(node, job, now))) {
      throw failure("mountFailed", { source: staging, target, detail: "the mount table does not show it" });
    }
  } catch (error) {
    const left = mountsAt(await mountsOf(node), target).at(-1);
    if (left?.device === device.number) await unmount(node.system.exec, target).catch(() => {});
    if (kind === undefined) await rmdir(target).catch(() => {});
    throw error;
  }
}

/** true: published as asked; false: a dead mount is in the way. */
async function isPublished(node: NodeContext, job: PublishJob, mount: Mount): Promise<boolean> {
  const { volume, device, target, readOnly } = job;
  if (mount.device === device.number && mount.root === "/") {
    // What was asked for shows in the options of the mount; of the filesystem itself publishFilesystem() has asked.
    if (mount.options.includes("ro") === readOnly) return true;
    const difference = readOnly ? "writable; read-only is asked for" : "read-only; write access is asked for";
    throw failure("publishedDifferently", { volume, target, difference });
  }
  if (await isDead(node, mount)) return false;
  throw failure("pathOccupied", { path: target, found: `a mount of ${mount.source}` });
}

/** Other places where the whole filesystem is mounted; those of a part of it are subPath mounts of kubelet. */
function otherTargets(mounts: readonly Mount[], { device, staging, target }: PublishJob): readonly string[] {
  const paths = mounts
    .filter((mount) => mount.device === device.number && mount.root === "/")
    .map((mount) => mount.mountPoint)
    .filter((path) => path !== staging && path !== target);
  return [...new Set(paths)];
}
