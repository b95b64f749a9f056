import { readFile } from "node:fs/promises";
import process from "node:process";
import { failure } from "../domain/errors/driver-error.ts";
import { counted } from "../domain/sentence.ts";
import { readAttribute } from "../host/block-device.ts";
import type { BlockDevice, DeviceUser } from "../host/data-path.ts";
import type { NodeSystem } from "../host/system.ts";
import { fuserPids } from "./fuser.ts";
import { holdersOf, partitionsOf } from "./holders.ts";
import { loopCandidates, loopsOver } from "./loops.ts";
import { type Mount, readMounts } from "./mountinfo.ts";
import { describeUse, processAt } from "./processes.ts";
import { statPath } from "./stat.ts";

/**
 * Largest number of descriptors, mappings and mounts for which fuser(1) is run too. It looks at each of them as well, within a
 * deadline of its own, and sees less than the scan: only this path.
 */
const FUSER_ENTRIES = 200_000;

/**
 * Everything that uses a block device or a partition of it: mounts of its filesystem, bind mounts of its node, device-mapper
 * and the like on top, loop devices over it, processes that have it open or mapped, and any other reason for which the kernel
 * refuses to open it exclusively (swap, a filesystem whose umount hangs, a mount in another namespace). Empty only if all of these
 * were looked at. docs/security.md lists the users that cannot be seen.
 * @param blind `refuse`: processes and loop devices that could not be looked into are an error, when no user was found
 * @throws nodeStateUnknown, deviceChanged, deadlineExceeded, toolMissing
 */
export async function blockUsers(
  system: NodeSystem,
  device: BlockDevice,
  blind: "refuse" | "ignore",
  signal?: AbortSignal,
): Promise<readonly DeviceUser[]> {
  const directory = `${system.sysRoot}/dev/block/${device.number}`;
  const numbers = new Set<string>([device.number, ...(await partitionNumbers(directory))]);
  const mounts = await readMounts(`${system.procRoot}/self/mountinfo`);
  const users: DeviceUser[] = mounts
    .filter((mount) => numbers.has(mount.device))
    .map((mount) => ({ kind: "mount", description: `mounted at ${mount.mountPoint}` }));
  for (const target of await nodeMounts(system, mounts, device, signal)) {
    users.push({ kind: "mount", description: `published at ${target}` });
  }
  for (const { description } of await holdersOf(directory)) {
    users.push({ kind: "holder", description: `held by ${description}` });
  }
  const candidates = await loopCandidates(system, device);
  const [, ...partitions] = numbers;
  const files = [...new Set(candidates.map(({ path }) => path))];
  const seen = await system.helper.inspect(device.path, [device.number, ...partitions], files, signal);
  const { over, unclear } = await loopsOver(system, candidates, numbers, seen.backing, signal);
  for (const loop of over)
    users.push({ kind: "loop", description: `loop device ${loop.name} (${loop.path})` });
  const scanned = new Map(seen.processes.uses.map((use) => [use.pid, use]));
  const { unreadable, unread = [], entries = 0, overrun } = seen.processes;
  const fuser = entries > FUSER_ENTRIES ? [] : await fuserPids(system.exec, device.path, signal);
  for (const pid of fuser) {
    if (scanned.has(pid)) continue;
    scanned.set(pid, { pid, ...processAt(`${system.procRoot}/${pid}`), how: "found by fuser" });
  }
  for (const use of scanned.values()) {
    // An nvme-cli of this driver for another volume opens the devices of all volumes for a moment to identify them.
    if (use.command === "nvme" && use.parent === process.pid) continue;
    users.push({ kind: "process", description: describeUse(use) });
  }
  if (unreadable > 0) system.logger.debug("some processes could not be inspected", { count: unreadable });
  if (unclear.length > 0)
    system.logger.debug("the devices under some loop devices are unknown", { loops: unclear });
  const unknown = (detail: string) =>
    failure("nodeStateUnknown", { what: `whether ${device.path} is in use`, detail });
  switch (seen.exclusive) {
    case "free":
      break;
    case "busy":
      if (users.length === 0) {
        const swap = await swapOn(system, numbers, signal);
        const description = "the kernel (a filesystem that is still alive, or a mount in another namespace)";
        users.push({ kind: "kernel", description: swap ?? description });
      }
      break;
    case "changed":
      throw failure("deviceChanged", { device: device.path, nqn: device.nqn, found: seen.detail });
    default:
      throw unknown(seen.detail);
  }
  if (users.length === 0 && overrun !== undefined) {
    throw unknown(overrun);
  }
  const blindSpots = [
    ...(unreadable === 0
      ? []
      : [
          `${counted(unreadable, "process", "processes")} may not be looked into${named(unread)}; the node plugin needs a privileged container with hostPID (CAP_SYS_PTRACE, CAP_SYS_ADMIN)`,
        ]),
    ...unclear.map(
      ({ name, path }) =>
        `the loop device ${name} may be over it: its file was ${path}, which leads to it in no mount namespace now; detach it (losetup --detach /dev/${name}) if nothing needs it`,
    ),
  ];
  if (users.length === 0 && blindSpots.length > 0 && blind === "refuse") {
    throw unknown(blindSpots.join("; "));
  }
  return users;
}

function named(processes: readonly string[]): string {
  return processes.length === 0 ? "" : `, as ${processes.join(", ")}`;
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

async function partitionNumbers(directory: string): Promise<readonly string[]> {
  const numbers: string[] = [];
  for (const name of await partitionsOf(directory)) {
    const path = `${directory}/${name}/dev`;
    const number = await readAttribute(path);
    if (number === undefined) continue;
    if (!/^\d+:\d+$/.test(number)) throw failure("nodeStateUnknown", { what: path, detail: `dev=${number}` });
    numbers.push(number);
  }
  return numbers;
}

/** Swap that is on, in words. Source: proc(5), /proc/swaps. */
async function swapOn(
  { exec, procRoot }: NodeSystem,
  numbers: ReadonlySet<string>,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const text = await readFile(`${procRoot}/swaps`, "utf8").catch(() => "");
  for (const line of text.split("\n").slice(1)) {
    const [path = "", type] = line.split(/\s+/);
    if (type !== "partition") continue;
    const seen = await statPath(exec, path, signal).catch(() => undefined);
    if (seen?.kind === "block" && numbers.has(seen.number)) return `swap of this node (${path})`;
  }
  return undefined;
}
