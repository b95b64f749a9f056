import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { deviceNumber, isCode, orElse } from "../host/files.ts";
import type { DeviceScan, DeviceUserFacts } from "../host/helper-answers.ts";
import { type KnownMappings, mappedDevices } from "./mapped.ts";
import { processAt } from "./processes.ts";
import { type Remote, remoteOf } from "./remote.ts";
import { createScanWork, ScanOverrun, type ScanWork } from "./scan-work.ts";

/** The descriptors of a process with more than this are left out: this scan only helps people. */
export const MOST_DESCRIPTORS = 50_000;
const NAMED = 3;

/**
 * Finds the processes that have one of some devices, or a file of a filesystem on it, open or mapped; by device number, as names differ
 * between containers. Opens no device. It stats the files that others have open, which may block: for the helper process only.
 * @param devices `major:minor` each
 * @param list names in a directory; undefined when it may not be looked into
 */
export function scanDevices(
  devices: ReadonlySet<string>,
  ignore: ReadonlySet<number>,
  procRoot = "/proc",
  list: (path: string) => readonly string[] | undefined = listed,
  work: ScanWork = createScanWork({ procRoot }),
  most = MOST_DESCRIPTORS,
  sizeOf: (base: string) => number = descriptorsOf,
): DeviceScan {
  const users: DeviceUserFacts[] = [];
  const crowded: string[] = [];
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
    const count = (entries: number) => work.count(pid, entries);
    let refused = false;
    try {
      if (sizeOf(base) > most) {
        refused = true;
        if (crowded.length < NAMED)
          crowded.push(`process ${pid} (${processAt(base).command}) has too many descriptors`);
      } else {
        const opened = list(`${base}/fd`);
        refused = opened === undefined;
        for (const fd of opened ?? []) {
          count(1);
          if (pathLike(`${base}/fd/${fd}`)) look(`${base}/fd/${fd}`, `fd ${fd}`);
        }
      }
      const remote = remoteOf(base, remotes, count);
      for (const { device, what } of mappedDevices(base, remote, mappings, count)) {
        if (devices.has(device) && !found.has(device)) found.set(device, `mapped ${what}`);
      }
    } catch (error) {
      if (error instanceof ScanOverrun)
        return { users, hidden: hidden + 1, crowded: [...crowded, error.message] };
      refused ||= isCode(error, "EACCES", "EPERM", "EBUSY");
    }
    // A process that has just ended uses nothing, and the kernel may say EACCES of it as well.
    if (refused && existsSync(base)) hidden += 1;
    if (found.size === 0) continue;
    const { command, pod } = processAt(base);
    for (const [device, how] of found) {
      users.push({ device, pid, command, how, ...(pod === undefined ? {} : { pod }) });
    }
  }
  return { users, hidden, crowded };
}

/**
 * About how many descriptors a process has, by its directory in /proc: the size of its directory, from Linux 6.2 on, before that of their table. Source:
 * proc(5), /proc/pid/fd, and FDSize in /proc/pid/status.
 */
export function descriptorsOf(base: string): number {
  // Of a process that may not be looked into, the listing of its descriptors tells.
  const size = orElse(() => statSync(`${base}/fd`).size, 0);
  if (size > 0) return size;
  const status = orElse(() => readFileSync(`${base}/status`, "latin1"), "");
  return Number(/^FDSize:\s*(\d+)/m.exec(status)?.[1] ?? 0);
}

/**
 * The device of the filesystem that holds a path and, for a device node, the device itself. None for a path that has just
 * been closed, or that is on a network filesystem which is away, so not on our device.
 */
function devicesOf(path: string): readonly string[] {
  const stat = orElse(() => statSync(path), undefined);
  if (stat === undefined) return [];
  return [deviceNumber(stat.dev), ...(stat.isBlockDevice() ? [deviceNumber(stat.rdev)] : [])];
}

function pathLike(path: string): boolean {
  return orElse(() => readlinkSync(path).startsWith("/"), false);
}

/** undefined: it may not be looked into. */
function listed(path: string): readonly string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    return isCode(error, "EACCES", "EPERM") ? undefined : [];
  }
}
