import { readdir, readFile } from "node:fs/promises";
import process from "node:process";
import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice, DeviceUser } from "../node/data-path.ts";
import type { NodeSystem } from "../node/system.ts";
import { fuserPids } from "./fuser.ts";
import { type Mount, readMounts } from "./mountinfo.ts";
import { processAt } from "./process-scan.ts";
import { statPath } from "./stat.ts";

/**
 * Everything that uses a block device: mounts of its filesystem, bind mounts of its node, device-mapper and the like on
 * top, loop devices over it, processes, and whatever else keeps the kernel from opening it exclusively (a filesystem
 * whose umount hangs, a mount in another namespace). Empty only if all of these were looked at.
 * @throws nodeStateUnknown, deviceChanged, deadlineExceeded
 */
export async function blockUsers(
  system: NodeSystem,
  device: BlockDevice,
  blind: "refuse" | "ignore",
  signal?: AbortSignal,
): Promise<readonly DeviceUser[]> {
  const mounts = await readMounts(`${system.procRoot}/self/mountinfo`);
  const users: DeviceUser[] = mounts
    .filter((mount) => mount.device === device.number)
    .map((mount) => ({ kind: "mount", description: `mounted at ${mount.mountPoint}` }));
  for (const target of await nodeMounts(system, mounts, device, signal)) {
    users.push({ kind: "mount", description: `published at ${target}` });
  }
  for (const holder of await list(`${system.sysRoot}/dev/block/${device.number}/holders`)) {
    users.push({ kind: "holder", description: `held by ${holder}` });
  }
  users.push(...(await loopsOver(system, device, signal)));
  const seen = await system.helper.inspect(device.path, device.number, signal);
  const scanned = new Map(seen.processes.uses.map((use) => [use.pid, use]));
  for (const pid of await fuserPids(system.exec, device.path, signal)) {
    if (scanned.has(pid)) continue;
    scanned.set(pid, { pid, ...processAt(`${system.procRoot}/${pid}`), how: "found by fuser" });
  }
  for (const { pid, command, parent, how } of scanned.values()) {
    // To connect or disconnect another volume, nvme-cli opens the devices of all for a moment and identifies them.
    if (command === "nvme" && parent === process.pid) continue;
    users.push({ kind: "process", description: `process ${pid} (${command}, ${how})` });
  }
  const { unreadable } = seen.processes;
  if (unreadable > 0) system.logger.debug("some processes could not be inspected", { count: unreadable });
  switch (seen.exclusive) {
    case "free":
      break;
    case "busy":
      if (users.length === 0) {
        const description = "the kernel (a filesystem that is still alive, or a mount in another namespace)";
        users.push({ kind: "kernel", description });
      }
      break;
    case "changed":
      throw failure("deviceChanged", { device: device.path, nqn: device.nqn, found: seen.detail });
    case "error":
      throw failure("nodeStateUnknown", { what: `whether ${device.path} is in use`, detail: seen.detail });
  }
  if (users.length === 0 && unreadable > 0 && blind === "refuse") {
    throw failure("nodeStateUnknown", {
      what: `whether ${device.path} is in use`,
      detail: `${unreadable} processes may not be looked into; the node plugin needs a privileged container with hostPID (CAP_SYS_PTRACE)`,
    });
  }
  return users;
}

/** Paths at which the device's node itself is bind-mounted, outside /dev. */
export async function nodeMounts(
  system: NodeSystem,
  mounts: readonly Mount[],
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const mount of mounts) {
    if (!mount.root.endsWith(`/${device.name}`) || mount.mountPoint === device.path) continue;
    const seen = await statPath(system.exec, mount.mountPoint, signal);
    if (seen?.kind === "block" && seen.number === device.number) found.push(mount.mountPoint);
  }
  return found;
}

async function loopsOver(
  system: NodeSystem,
  device: BlockDevice,
  signal?: AbortSignal,
): Promise<DeviceUser[]> {
  const users: DeviceUser[] = [];
  for (const name of await list(`${system.sysRoot}/block`)) {
    if (!/^loop\d+$/.test(name) || name === device.name) continue;
    const backing = await readOptional(`${system.sysRoot}/block/${name}/loop/backing_file`);
    if (backing === undefined) continue;
    const path = backing.replace(/ \(deleted\)$/, "");
    const seen = path.startsWith("/") ? await statPath(system.exec, path, signal) : undefined;
    if (seen?.kind === "block" && seen.number === device.number) {
      users.push({ kind: "loop", description: `loop device ${name} (${backing})` });
    }
  }
  return users;
}

async function list(path: string): Promise<readonly string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    throw failure("nodeStateUnknown", { what: path, detail: String(error) }, error);
  }
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trimEnd();
  } catch (error) {
    // No loop directory: nothing is attached to this loop device.
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENXIO")) {
      return undefined;
    }
    throw failure("nodeStateUnknown", { what: path, detail: String(error) }, error);
  }
}
