import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { deviceNumber, isCode } from "./device-number.ts";
import { type KnownMappings, mappedDevices } from "./mapped.ts";
import { type Remote, remoteOf } from "./remote.ts";

/** A process that uses a device. */
export interface ProcessUse {
  readonly pid: number;
  readonly command: string;
  /** Process id of its parent; 0 when it ended before that was read. */
  readonly parent: number;
  /** e.g. `fd 7`, `cwd`, `mapped file`, `mapped device`. */
  readonly how: string;
}

export interface ProcessScan {
  readonly uses: readonly ProcessUse[];
  /** Processes that could not be looked into (no permission). */
  readonly unreadable: number;
}

/** What is remembered from one process to the next. */
interface Memory {
  readonly remote: Map<string, Remote>;
  readonly mappings: KnownMappings;
}

/**
 * Finds processes that hold one of some block devices open or mapped, or a file of a filesystem on it, by device number.
 * Names do not matter: a container has its own node of the device, which `fuser` does not recognise (measured with psmisc
 * 23.6).
 * For the helper process: it stats what other processes have open.
 * @param devices `major:minor` each
 */
export function scanProcesses(
  devices: ReadonlySet<string>,
  ignore: ReadonlySet<number>,
  procRoot = "/proc",
): ProcessScan {
  const uses: ProcessUse[] = [];
  let unreadable = 0;
  const memory: Memory = { remote: new Map(), mappings: new Map() };
  for (const name of readdirSync(procRoot)) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || ignore.has(pid)) continue;
    const base = `${procRoot}/${name}`;
    try {
      const how = firstUse(base, devices, memory);
      if (how !== undefined) uses.push({ pid, ...processAt(base), how });
    } catch (error) {
      // A process that has just ended uses nothing, and the kernel may say EACCES of it as well (fs/proc/base.c,
      // proc_pid_get_link); one that we may not look into, or whose mappings never stood still, is counted.
      if (["EACCES", "EPERM", "EBUSY"].some((code) => isCode(error, code))) {
        unreadable += existsSync(base) ? 1 : 0;
      } else if (!isCode(error, "ENOENT") && !isCode(error, "ESRCH")) throw error;
    }
  }
  return { uses, unreadable };
}

function firstUse(base: string, devices: ReadonlySet<string>, memory: Memory): string | undefined {
  const remote = remoteOf(base, memory.remote);
  for (const link of ["cwd", "root"]) {
    if (remote.mountIds.size === 0 && concerns(`${base}/${link}`, devices)) return link;
  }
  for (const table of tablesOf(base)) {
    const how = useOf(table, devices, remote, memory);
    if (how !== undefined) return how;
  }
  return undefined;
}

/** A process, or a thread of it, and its open descriptors. */
interface Table {
  readonly base: string;
  readonly fds: readonly string[];
}

/**
 * The descriptors of a process, and of one thread for each further set of them: /proc/pid shows those of the first thread,
 * which may have ended before the rest, and a thread may have unshared its own (unshare(2), CLONE_FILES). The directory of a
 * thread in /proc is not listed there, but can be opened.
 */
function tablesOf(base: string): readonly Table[] {
  const tables: Table[] = [{ base, fds: readdirSync(`${base}/fd`) }];
  const threads = readdirSync(`${base}/task`);
  if (threads.length < 2) return tables;
  const known = new Set(tables.map(({ fds }) => fds.join()));
  // Without any it may have ended, and its memory with it.
  known.delete("");
  for (const thread of threads) {
    const at = `${dirname(base)}/${thread}`;
    try {
      const fds = readdirSync(`${at}/fd`);
      if (at === base || known.has(fds.join())) continue;
      known.add(fds.join());
      tables.push({ base: at, fds });
    } catch (error) {
      if (!isCode(error, "ENOENT") && !isCode(error, "ESRCH")) throw error;
    }
  }
  return tables;
}

function useOf(
  { base, fds }: Table,
  devices: ReadonlySet<string>,
  remote: Remote,
  memory: Memory,
): string | undefined {
  for (const fd of fds) {
    const path = `${base}/fd/${fd}`;
    try {
      if (!readlinkSync(path).startsWith("/")) continue;
      if (remote.mountIds.size > 0 && remote.mountIds.has(mountIdOf(`${base}/fdinfo/${fd}`))) continue;
      if (concerns(path, devices)) return `fd ${fd}`;
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
  }
  const mapped = mappedDevices(base, remote.namespace, remote.devices, memory.mappings);
  const used = mapped.find(({ device }) => devices.has(device));
  return used === undefined ? undefined : `mapped ${used.what}`;
}

function concerns(path: string, devices: ReadonlySet<string>): boolean {
  try {
    const stat = statSync(path);
    return (
      devices.has(deviceNumber(stat.dev)) || (stat.isBlockDevice() && devices.has(deviceNumber(stat.rdev)))
    );
  } catch (error) {
    // Kernel threads have no cwd. The other three come from network filesystems only: what is open on ext4 or XFS, or
    // is a device node, stats from memory.
    if (["ENOENT", "ESTALE", "ENOTCONN", "EIO"].some((code) => isCode(error, code))) return false;
    throw error;
  }
}

function mountIdOf(path: string): string {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(path, "latin1"))?.[1] ?? "";
}

/** Name and parent of the process of a directory in /proc. Source: proc(5), /proc/pid/stat. */
export function processAt(base: string): { readonly command: string; readonly parent: number } {
  try {
    // The name is in parentheses and may hold anything, also parentheses.
    const match = /^\d+ \((.*)\) \S (\d+) /s.exec(readFileSync(`${base}/stat`, "utf8"));
    if (match !== null) return { command: match[1] ?? "?", parent: Number(match[2]) };
  } catch {
    // It has ended.
  }
  return { command: "?", parent: 0 };
}
