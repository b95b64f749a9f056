import { existsSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { deviceNumber, isCode } from "./device-number.ts";
import { type KnownMappings, mappedDevices } from "./mapped.ts";
import { processAt } from "./process-scan.ts";
import { type Remote, remoteOf } from "./remote.ts";

/** A process that uses a device. */
export interface DeviceUserFacts {
  /** `major:minor` */
  readonly device: string;
  readonly pid: number;
  readonly command: string;
  /** e.g. `fd 7`, `cwd`, `mapped device` */
  readonly how: string;
}

export interface DeviceScan {
  readonly users: readonly DeviceUserFacts[];
  /** Processes that could not be looked into. */
  readonly hidden: number;
}

/**
 * Finds the processes that have one of some devices, or a file of a filesystem on it, open or mapped; by device number, as names differ
 * between containers. Opens no device. It stats what others have open, which may block: for the helper process only.
 * @param devices `major:minor` each
 * @param list names in a directory; undefined when it may not be looked into
 */
export function scanDevices(
  devices: ReadonlySet<string>,
  ignore: ReadonlySet<number>,
  procRoot = "/proc",
  list: (path: string) => readonly string[] | undefined = listed,
): DeviceScan {
  const users: DeviceUserFacts[] = [];
  let hidden = 0;
  const remotes = new Map<string, Remote>();
  const mappings: KnownMappings = new Map();
  for (const name of readdirSync(procRoot)) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || ignore.has(pid)) continue;
    const base = `${procRoot}/${name}`;
    const found = new Map<string, string>();
    const look = (path: string, how: string): void => {
      for (const device of devicesOf(path)) {
        if (devices.has(device) && !found.has(device)) found.set(device, how);
      }
    };
    for (const link of ["cwd", "root"]) look(`${base}/${link}`, link);
    const opened = list(`${base}/fd`);
    for (const fd of opened ?? []) {
      if (pathLike(`${base}/fd/${fd}`)) look(`${base}/fd/${fd}`, `fd ${fd}`);
    }
    let refused = opened === undefined;
    try {
      const { namespace, devices: remote } = remoteOf(base, remotes);
      for (const { device, what } of mappedDevices(base, namespace, remote, mappings)) {
        if (devices.has(device) && !found.has(device)) found.set(device, `mapped ${what}`);
      }
    } catch (error) {
      refused ||= ["EACCES", "EPERM", "EBUSY"].some((code) => isCode(error, code));
    }
    // A process that has just ended uses nothing, and the kernel may say EACCES of it as well.
    if (refused && existsSync(base)) hidden += 1;
    const { command } = processAt(base);
    for (const [device, how] of found) users.push({ device, pid, command, how });
  }
  return { users, hidden };
}

/** The filesystem that a path is on and, for a device node, the device. */
function devicesOf(path: string): readonly string[] {
  try {
    const stat = statSync(path);
    return [deviceNumber(stat.dev), ...(stat.isBlockDevice() ? [deviceNumber(stat.rdev)] : [])];
  } catch {
    // It has just been closed, or is on a network filesystem that is away: not one of ours.
    return [];
  }
}

function pathLike(path: string): boolean {
  try {
    return readlinkSync(path).startsWith("/");
  } catch {
    return false;
  }
}

/** undefined: it may not be looked into. */
function listed(path: string): readonly string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : undefined;
    return code === "EACCES" || code === "EPERM" ? undefined : [];
  }
}
