import { failure } from "../domain/errors/driver-error.ts";
import { complaint, type Exec } from "../host/exec.ts";

/** The kind of file at a path, symbolic links followed. */
export interface PathStat {
  readonly kind: "directory" | "file" | "block" | "other";
  /** `major:minor` of a device node; "" for anything else. */
  readonly number: string;
}

/** Counters of a filesystem: bytes and inodes. Source: statfs(2). */
export interface FilesystemUsage {
  readonly blockSize: bigint;
  readonly blocks: bigint;
  readonly free: bigint;
  /** Free for unprivileged users. */
  readonly available: bigint;
  readonly inodes: bigint;
  readonly freeInodes: bigint;
}

const DEADLINE_MS = 5_000;

/**
 * stat(2) in a child process. undefined only for ENOENT and ENOTDIR.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function statPath(
  exec: Exec,
  path: string,
  signal?: AbortSignal,
): Promise<PathStat | undefined> {
  const result = await exec({
    program: "stat",
    args: ["-L", "-c", "%f %t:%T", "--", path],
    deadlineMs: DEADLINE_MS,
    signal,
  });
  const unknown = (detail: string) => failure("nodeStateUnknown", { what: `the kind of ${path}`, detail });
  if (result.code !== 0) {
    if (/: (No such file or directory|Not a directory)\s*$/.test(result.stderr)) return undefined;
    throw unknown(complaint(result));
  }
  const match = /^([0-9a-f]+) ([0-9a-f]+):([0-9a-f]+)\s*$/.exec(result.stdout);
  if (match === null) throw unknown("stat gave an unknown answer");
  const [, mode = "0", major = "0", minor = "0"] = match;
  const type = Number.parseInt(mode, 16) & 0o170000;
  const number = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
  if (type === 0o060000) return { kind: "block", number };
  return { kind: type === 0o040000 ? "directory" : type === 0o100000 ? "file" : "other", number: "" };
}

/**
 * statfs(2) in a child process.
 * @throws nodeStateUnknown, deadlineExceeded
 */
export async function statFilesystem(
  exec: Exec,
  path: string,
  signal?: AbortSignal,
): Promise<FilesystemUsage> {
  const result = await exec({
    program: "stat",
    args: ["-f", "-c", "%S %b %f %a %c %d", "--", path],
    deadlineMs: DEADLINE_MS,
    signal,
  });
  const numbers = /^\d+( \d+){5}\s*$/.test(result.stdout) ? result.stdout.trim().split(" ").map(BigInt) : [];
  const [blockSize = 0n, blocks = 0n, free = 0n, available = 0n, inodes = 0n, freeInodes = 0n] = numbers;
  if (result.code !== 0 || numbers.length === 0) {
    throw failure("nodeStateUnknown", { what: `the usage of ${path}`, detail: complaint(result) });
  }
  return { blockSize, blocks, free, available, inodes, freeInodes };
}
