import { execFile } from "node:child_process";
import { readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** A process that a stand started, told apart from a later one with the same pid by its start time. */
export interface Started {
  readonly pid: number;
  readonly startTime: string;
}

/** Start time of a process in clock ticks since boot (proc(5), /proc/pid/stat field 22); undefined if it is gone. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    return text.slice(text.lastIndexOf(")") + 2).split(" ")[19];
  } catch {
    return undefined;
  }
}

/** Notes a process in `<directory>/processes`, so that a later run can end it if this one cannot. */
export async function noteProcess(directory: string, pid: number): Promise<void> {
  const startTime = await startTimeOf(pid);
  if (startTime !== undefined)
    await writeFile(join(directory, "processes"), `${pid} ${startTime}\n`, { flag: "a" });
}

async function notedProcesses(directory: string): Promise<Started[]> {
  const text = await readFile(join(directory, "processes"), "utf8").catch(() => "");
  return text
    .split("\n")
    .map((line) => line.split(" "))
    .flatMap(([pid, startTime]) => (pid && startTime ? [{ pid: Number(pid), startTime }] : []));
}

/** Ends a noted process: by pid, only if it is still the same process. */
async function endProcess({ pid, startTime }: Started): Promise<boolean> {
  if ((await startTimeOf(pid)) !== startTime) return false;
  process.kill(pid, "SIGKILL");
  for (let waited = 0; (await startTimeOf(pid)) === startTime && waited < 5_000; waited += 20)
    await delay(20);
  return true;
}

/** Mount points below a directory, deepest first. */
export async function mountsBelow(directory: string): Promise<string[]> {
  const text = await readFile("/proc/self/mountinfo", "utf8");
  return text
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replace(/\\040/g, " "))
    .filter((path) => path.startsWith(`${directory}/`))
    .toReversed();
}

/** Loop devices whose backing file is below a directory. */
export async function loopsBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const name of await readdir("/sys/block").catch(() => [])) {
    if (!name.startsWith("loop")) continue;
    const backing = await readFile(`/sys/block/${name}/loop/backing_file`, "utf8").catch(() => "");
    if (backing.startsWith(`${directory}/`)) found.push(`/dev/${name}`);
  }
  return found;
}

/** Processes whose executable or open files are below a directory, other than this one. */
export async function processesBelow(directory: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === process.pid) continue;
    const exe = await readlink(`/proc/${pid}/exe`).catch(() => "");
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => "");
    if ([exe, cwd].some((path) => path.startsWith(`${directory}/`) || path === directory))
      found.push(Number(pid));
  }
  return found;
}

/**
 * Removes everything that a stand left in its directory, also after kill -9 of anything: processes, mounts, loop
 * devices, files.
 * @returns what was found, one line each; empty when there was nothing
 */
export async function cleanUp(directory: string): Promise<string[]> {
  const found: string[] = [];
  if ((await stat(directory).catch(() => undefined)) === undefined) return found;
  for (const noted of await notedProcesses(directory)) {
    if (await endProcess(noted)) found.push(`process ${noted.pid}`);
  }
  for (const path of await mountsBelow(directory)) {
    await run("umount", [path]);
    found.push(`mount ${path}`);
  }
  for (const device of await loopsBelow(directory)) {
    await run("losetup", ["--detach", device]);
    found.push(`loop device ${device}`);
  }
  const mounted = await mountsBelow(directory);
  if (mounted.length > 0) throw new Error(`still mounted: ${mounted.join(", ")}`);
  await rm(directory, { recursive: true });
  found.push(`directory ${directory}`);
  return found;
}
