import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { parseMountinfo } from "./mountinfo.ts";

/** A process that uses a device. */
export interface ProcessUse {
  readonly pid: number;
  readonly command: string;
  /** Process id of its parent; 0 when it ended before that was read. */
  readonly parent: number;
  /** e.g. `fd 7`, `cwd`, `mapped file`. */
  readonly how: string;
}

export interface ProcessScan {
  readonly uses: readonly ProcessUse[];
  /** Processes that could not be looked into (no permission). */
  readonly unreadable: number;
}

/** Filesystems on which a stat may wait for another machine; our devices are never reached through them. */
const REMOTE = /^(nfs|nfs4|cifs|smb3|ceph|9p|afs|lustre|fuse|fuse\..*)$/;

/**
 * Finds processes that hold a block device open, or a file of the filesystem on it, by device number. Names do not
 * matter: a container has its own node of the device, which `fuser` does not recognise (measured with psmisc 23.6).
 * For the helper process: it stats what other processes have open.
 * @param device `major:minor`
 */
export function scanProcesses(device: string, ignore: ReadonlySet<number>, procRoot = "/proc"): ProcessScan {
  const uses: ProcessUse[] = [];
  let unreadable = 0;
  const remoteByNamespace = new Map<string, ReadonlySet<string>>();
  for (const name of readdirSync(procRoot)) {
    const pid = Number(name);
    if (!/^\d+$/.test(name) || ignore.has(pid)) continue;
    const base = `${procRoot}/${name}`;
    try {
      const remote = remoteMounts(base, remoteByNamespace);
      const how = firstUse(base, device, remote);
      if (how !== undefined) uses.push({ pid, ...processAt(base), how });
    } catch (error) {
      // A process that has just ended uses nothing, and the kernel may say EACCES of it as well (fs/proc/base.c,
      // proc_pid_get_link); one that we may not look into is counted.
      if (isCode(error, "EACCES") || isCode(error, "EPERM")) unreadable += existsSync(base) ? 1 : 0;
      else if (!isCode(error, "ENOENT") && !isCode(error, "ESRCH")) throw error;
    }
  }
  return { uses, unreadable };
}

function firstUse(base: string, device: string, remote: ReadonlySet<string>): string | undefined {
  for (const link of ["cwd", "root"]) {
    if (remote.size === 0 && concerns(`${base}/${link}`, device)) return link;
  }
  for (const fd of readdirSync(`${base}/fd`)) {
    const path = `${base}/fd/${fd}`;
    try {
      if (!readlinkSync(path).startsWith("/")) continue;
      if (remote.size > 0 && remote.has(mountIdOf(`${base}/fdinfo/${fd}`))) continue;
      if (concerns(path, device)) return `fd ${fd}`;
    } catch (error) {
      if (!isCode(error, "ENOENT")) throw error;
    }
  }
  return maps(base, device) ? "mapped file" : undefined;
}

function concerns(path: string, device: string): boolean {
  try {
    const stat = statSync(path);
    return deviceNumber(stat.dev) === device || (stat.isBlockDevice() && deviceNumber(stat.rdev) === device);
  } catch (error) {
    // Kernel threads have no cwd. The other three come from network filesystems only: what is open on ext4 or XFS, or
    // is a device node, stats from memory.
    if (["ENOENT", "ESTALE", "ENOTCONN", "EIO"].some((code) => isCode(error, code))) return false;
    throw error;
  }
}

function maps(base: string, device: string): boolean {
  const [major = 0, minor = 0] = device.split(":").map(Number);
  const field = ` ${major.toString(16).padStart(2, "0")}:${minor.toString(16).padStart(2, "0")} `;
  return readFileSync(`${base}/maps`, "latin1").includes(field);
}

function remoteMounts(base: string, known: Map<string, ReadonlySet<string>>): ReadonlySet<string> {
  const namespace = readlinkSync(`${base}/ns/mnt`);
  let remote = known.get(namespace);
  if (remote === undefined) {
    const mounts = parseMountinfo(readFileSync(`${base}/mountinfo`, "utf8"));
    remote = new Set(mounts.filter((mount) => REMOTE.test(mount.fsType)).map((mount) => String(mount.id)));
    known.set(namespace, remote);
  }
  return remote;
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

/** `major:minor` of a stat(2) device number, as Linux encodes it (makedev(3)). */
export function deviceNumber(dev: number): string {
  const value = BigInt(dev);
  const major = ((value >> 8n) & 0xfffn) | ((value >> 32n) & 0xffff_f000n);
  const minor = (value & 0xffn) | ((value >> 12n) & 0xffff_ff00n);
  return `${major}:${minor}`;
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
