import { execFile } from "node:child_process";
import { lstat, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The file by which a stand's directory is known as such; only what has it is ever removed. */
const MARK = ".rds-csi-stand";

/** Makes the directory of a stand, which must not exist yet. */
export async function makeStandDirectory(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  await writeFile(join(directory, MARK), "Made by the tests and the demo of rds-csi, which remove it.\n");
}

/** A process that a stand started, told apart from a later one with the same pid by its start time. */
export interface Started {
  readonly pid: number;
  readonly startTime: string;
}

/**
 * Start time of a process in clock ticks since boot (proc(5), /proc/pid/stat field 22); undefined if it is gone, or dead
 * and only not yet reaped.
 */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const text = await readFile(`/proc/${pid}/stat`, "utf8");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
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
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
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

/**
 * `rds-csi` processes of a stand: those with a path below its directory among their arguments. Finds also one that was
 * started and not noted any more.
 */
export async function processesBelow(directory: string): Promise<Started[]> {
  const found: Started[] = [];
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const text = await readFile(`/proc/${name}/cmdline`, "utf8").catch(() => "");
    const [program = "", command = "", ...args] = text.split("\0");
    if (!/(^|\/)rds-csi$/.test(program) || !["simulate", "controller", "node"].includes(command)) continue;
    if (!args.some((arg) => arg.replace(/^unix:(\/\/)?/, "").startsWith(`${directory}/`))) continue;
    const startTime = await startTimeOf(Number(name));
    if (startTime !== undefined) found.push({ pid: Number(name), startTime });
  }
  return found;
}

/** Repeats what fails while a process that is about to end still holds something. */
async function patiently(work: () => Promise<unknown>): Promise<void> {
  for (const end = Date.now() + 5_000; ; await delay(50)) {
    try {
      await work();
      return;
    } catch (error) {
      if (Date.now() > end) throw error;
    }
  }
}

/**
 * Removes everything that a stand left in its directory, also after kill -9 of anything: processes, mounts, loop
 * devices, files.
 * @returns what was found, one line each; empty when there was nothing
 */
export async function cleanUp(directory: string): Promise<string[]> {
  const found: string[] = [];
  const there = await lstat(directory).catch(() => undefined);
  if (there === undefined) return found;
  // What it says is believed: processes are ended, files removed.
  if (!there.isDirectory() || there.uid !== process.getuid?.() || (there.mode & 0o022) !== 0)
    throw new Error(`${directory} is not a directory that only this user can write to; nothing is touched`);
  const files = await readdir(directory);
  if (files.length > 0 && !files.includes(MARK))
    throw new Error(`${directory} is not the directory of a stand (it has no ${MARK}); nothing is touched`);
  for (const each of [...(await notedProcesses(directory)), ...(await processesBelow(directory))]) {
    if (await endProcess(each)) found.push(`process ${each.pid}`);
  }
  for (const path of await mountsBelow(directory)) {
    await patiently(() => run("umount", [path]));
    found.push(`mount ${path}`);
  }
  for (const device of await loopsBelow(directory)) {
    // A loop device keeps the switch to read-only, for whoever is next.
    await run("blockdev", ["--setrw", device]);
    await run("losetup", ["--detach", device]);
    found.push(`loop device ${device}`);
  }
  // A program that was started by a killed node may keep a device for a moment.
  await patiently(async () => {
    const left = [...(await mountsBelow(directory)), ...(await loopsBelow(directory))];
    if (left.length > 0) throw new Error(`still there: ${left.join(", ")}`);
  });
  await rm(directory, { recursive: true });
  found.push(`directory ${directory}`);
  return found;
}
