import { rmdir } from "node:fs/promises";
import { failure } from "../../domain/errors/driver-error.ts";
import { bindMount, unmount } from "../../mount/mounter.ts";
import { type Mount, mountsAt } from "../../mount/mountinfo.ts";
import { writabilityOf } from "../../mount/writable.ts";
import { mountinfoOf, mountsOf, type NodeContext, topMount } from "../context.ts";
import { isDead } from "../health/dead.ts";
import { makeMountPoint } from "./paths.ts";
import { unmountTop } from "./unmount.ts";
import { type PublishJob, publishedDifferently } from "./validate.ts";

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
    await unmountTop(node, published, signal);
  }
  if (job.singleTarget) {
    const others = otherTargets(mounts, job);
    if (others.length > 0) {
      const reason = "its access mode allows one target on a node";
      throw failure("publishedElsewhere", { volume, targets: others, reason });
    }
  }
  const made = await makeMountPoint(volume, target, "directory");
  try {
    await bindMount(node.system.exec, staging, target, readOnly, mountinfoOf(node), signal);
    const now = await topMount(node, target);
    if (now === undefined || !(await isPublished(node, job, now))) {
      throw failure("mountFailed", { source: staging, target, detail: "the mount table does not show it" });
    }
  } catch (error) {
    const left = await topMount(node, target);
    if (left?.device === device.number) await unmount(node.system.exec, target).catch(() => {});
    if (made) await rmdir(target).catch(() => {});
    throw error;
  }
}

/** true: published as asked; false: a dead mount is in the way. */
async function isPublished(node: NodeContext, job: PublishJob, mount: Mount): Promise<boolean> {
  const { device, target, readOnly } = job;
  if (mount.device === device.number && mount.root === "/") {
    // The options of the mount show its own access; publishFilesystem() has looked at the filesystem's.
    if (mount.options.includes("ro") === readOnly) return true;
    throw publishedDifferently(job);
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
