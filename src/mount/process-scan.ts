import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { deviceNumber, isCode } from "../host/files.ts";
import type { ProcessScan, ProcessUse } from "../host/helper-answers.ts";
import { type KnownMappings, mappedDevices } from "./mapped.ts";
import { processAt } from "./processes.ts";
import { type Remote, remoteOf } from "./remote.ts";
import { createScanWork, ScanOverrun, type ScanWork } from "./scan-work.ts";

/** So many of the processes that may not be looked into are named. */
const NAMED = 5;

/** Facts that hold for the next process, too. */
interface Memory {
  readonly remote: Map<string, Remote>;
  readonly mappings: KnownMappings;
  /** By a device number of stat(2), whether it is one of the wanted devices: few numbers, many descriptors. */
  readonly wanted: Map<number, boolean>;
  readonly work: ScanWork;
}

/**
 * Finds processes that hold one of some block devices open or mapped, or a file of a filesystem on it, by device number.
 * Names do not matter: a container has its own node of the device, which `fuser` does not recognise (measured with psmisc
 * 23.6).
 * For the helper process: it stats the files that other processes have open. A pod decides on their number, so a descriptor
 * costs one call where no network filesystem is mounted, and the work is counted.
 * @param devices `major:minor` each
 * @param work is added to; when it overruns, the scan ends and says so
 */
export function scanProcesses(
  devices: ReadonlySet<string>,
  ignore: ReadonlySet<number>,
  procRoot = "/proc",
  work: ScanWork = createScanWork({ procRoot }),
): ProcessScan {
  const uses: ProcessUse[] = [];
  const unread: string[] = [];
  let unreadable = 0;
  const memory: Memory = { remote: new Map(), mappings: new Map(), wanted: new Map(), work };
  const answer = () => ({ uses, unreadable, unread, entries: work.total() });
  for (const name of readdirSync(procRoot)) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || ignore.has(pid)) continue;
    const base = `${procRoot}/${name}`;
    try {
      const how = firstUse({ base, pid }, devices, memory);
      if (how !== undefined) uses.push({ pid, ...processAt(base), how });
    } catch (error) {
      if (error instanceof ScanOverrun) return { ...answer(), overrun: error.message };
      // A process that has just ended uses nothing, and the kernel may say EACCES of it as well (fs/proc/base.c,
      // proc_pid_get_link); one that we may not look into, or whose mappings never stood still, is counted.
      if (isCode(error, "EACCES", "EPERM", "EBUSY")) {
        if (!existsSync(base)) continue;
        unreadable += 1;
        if (unread.length < NAMED) unread.push(`${pid} (${processAt(base).command})`);
      } else if (!isCode(error, "ENOENT", "ESRCH")) throw error;
    }
  }
  return answer();
}

/** A process, by its directory in /proc. */
interface Subject {
  readonly base: string;
  readonly pid: number;
}

function firstUse(subject: Subject, devices: ReadonlySet<string>, memory: Memory): string | undefined {
  const { base, pid } = subject;
  const count = (entries: number) => memory.work.count(pid, entries);
  count(1);
  const remote = remoteOf(base, memory.remote, count);
  for (const link of ["cwd", "root"]) {
    if (remote.mountIds.size === 0 && concerns(`${base}/${link}`, devices, memory)) return link;
  }
  for (const table of tablesOf(base, count)) {
    const how = useOf(table, devices, remote, memory, count);
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
function tablesOf(base: string, count: (entries: number) => void): readonly Table[] {
  const tables: Table[] = [{ base, fds: readdirSync(`${base}/fd`) }];
  const threads = readdirSync(`${base}/task`);
  if (threads.length < 2) return tables;
  const known = new Set(tables.map(({ fds }) => fds.join()));
  // A thread without descriptors may have ended, and its memory with it.
  known.delete("");
  for (const thread of threads) {
    const at = `${dirname(base)}/${thread}`;
    try {
      if (at === base) continue;
      const fds = readdirSync(`${at}/fd`);
      count(fds.length);
      const key = fds.join();
      if (known.has(key)) continue;
      known.add(key);
      tables.push({ base: at, fds });
    } catch (error) {
      if (!isCode(error, "ENOENT", "ESRCH")) throw error;
    }
  }
  return tables;
}

function useOf(
  { base, fds }: Table,
  devices: ReadonlySet<string>,
  remote: Remote,
  memory: Memory,
  count: (entries: number) => void,
): string | undefined {
  for (const fd of fds) {
    count(1);
    const path = `${base}/fd/${fd}`;
    try {
      if (remote.mountIds.size > 0 && remote.mountIds.has(mountIdOf(`${base}/fdinfo/${fd}`))) continue;
      if (concerns(path, devices, memory)) return `fd ${fd}`;
    } catch (error) {
      if (isCode(error, "ENOENT")) continue;
      // A security module may hide a socket and the like; devices and files have paths.
      if (!isCode(error, "EACCES", "EPERM") || readlinkSync(path).startsWith("/")) throw error;
    }
  }
  const mapped = mappedDevices(base, remote, memory.mappings, count);
  const used = mapped.find(({ device }) => devices.has(device));
  return used === undefined ? undefined : `mapped ${used.what}`;
}

function concerns(path: string, devices: ReadonlySet<string>, { wanted }: Memory): boolean {
  const isWanted = (dev: number): boolean => {
    const known = wanted.get(dev);
    if (known !== undefined) return known;
    const answer = devices.has(deviceNumber(dev));
    wanted.set(dev, answer);
    return answer;
  };
  try {
    const stat = statSync(path);
    return isWanted(stat.dev) || (stat.isBlockDevice() && isWanted(stat.rdev));
  } catch (error) {
    // Kernel threads have no cwd. The other three come from network filesystems only: an open file of ext4 or XFS and a
    // device node are in memory.
    if (isCode(error, "ENOENT", "ESTALE", "ENOTCONN", "EIO")) return false;
    throw error;
  }
}

function mountIdOf(path: string): string {
  return /^mnt_id:\s*(\d+)/m.exec(readFileSync(path, "latin1"))?.[1] ?? "";
}
