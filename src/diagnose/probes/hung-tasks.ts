import { isLive } from "../../host/data-path.ts";
import { descriptorsOf, MOST_DESCRIPTORS } from "../../mount/device-scan.ts";
import type { DiagnoseContext } from "../context.ts";
import type { ConnectionFacts } from "./connections.ts";
import { linkOf, namesIn, textOf } from "./files.ts";
import type { VolumeMount } from "./mounts.ts";

/** A thread in uninterruptible sleep that uses a volume. */
export interface HungTask {
  readonly pid: number;
  readonly command: string;
  /** Function of the kernel in which it waits; undefined where that may not be read. */
  readonly waitsIn: string | undefined;
  /** The innermost functions; empty where they may not be read. */
  readonly stack: readonly string[];
  /** Why it is counted: the path or device. */
  readonly because: string;
  /** Handle of the volume; undefined: nothing tells which it waits for. */
  readonly volume: string | undefined;
}

/** A thread that does not move for so long hangs; ordinary I/O is done by then. */
const STILL_MS = 1_000;
const STACK_LINES = 8;
/** Names in the stacks of those who wait for NVMe or a filesystem. */
const WAITS_FOR_BLOCK = /nvme|blk_|submit_bio|jbd2|ext4|xfs|iomap|io_schedule|wait_on_page|folio_wait/;

/**
 * Finds threads that are in state D, do not move for a second, and use a volume: by name (`jbd2/nvme0n1-8`), by what they
 * have open, or by where they wait while a connection is lost. Reads only what never waits for the thread's own locks (stat, status, wchan, stack and
 * links), so a hanging process does not delay it. Source: proc(5).
 * @param most of a thread with more descriptors none is looked at
 */
export async function hungTasks(
  { system }: DiagnoseContext,
  connections: readonly ConnectionFacts[],
  mounts: readonly VolumeMount[],
  signal: AbortSignal,
  most = MOST_DESCRIPTORS,
): Promise<readonly HungTask[]> {
  const before = await sleepers(system.procRoot);
  const lost = connections.some((connection) => connection.volume !== undefined && !isLive(connection));
  if (before.size === 0) return [];
  await system.clock.sleep(STILL_MS, signal);
  const tasks: HungTask[] = [];
  for (const [path, sleeper] of await sleepers(system.procRoot)) {
    if (before.get(path)?.switches !== sleeper.switches) continue;
    const stack = await stackOf(path);
    const waitsIn = await textOf(`${path}/wchan`);
    const named = await namedBy(path, sleeper.command, connections, mounts, most);
    const where = [waitsIn ?? "", ...stack].join(" ");
    const inBlock = WAITS_FOR_BLOCK.test(where) && (lost || /nvme/.test(where));
    if (named === undefined && !inBlock) continue;
    tasks.push({
      pid: sleeper.pid,
      command: sleeper.command,
      waitsIn: waitsIn === "0" || waitsIn === "" ? undefined : waitsIn,
      stack,
      because: named?.because ?? "waits for a filesystem or block device",
      volume: named?.volume,
    });
  }
  return tasks.toSorted((a, b) => a.pid - b.pid);
}

interface Sleeper extends Pick<HungTask, "pid" | "command"> {
  /** Context switches so far: equal at two looks means that it slept in between. */
  readonly switches: string;
}

/** Threads in state D, by their directory in /proc. */
async function sleepers(procRoot: string): Promise<ReadonlyMap<string, Sleeper>> {
  const found = new Map<string, Sleeper>();
  for (const name of await namesIn(procRoot)) {
    if (!/^\d+$/.test(name)) continue;
    for (const thread of await namesIn(`${procRoot}/${name}/task`)) {
      const path = `${procRoot}/${name}/task/${thread}`;
      const stat = /^\d+ \((.*)\) (\S) /s.exec((await textOf(`${path}/stat`)) ?? "");
      if (stat?.[2] !== "D") continue;
      const status = (await textOf(`${path}/status`)) ?? "";
      const switches = [...status.matchAll(/ctxt_switches:\s*(\d+)/g)].map(([, count]) => count).join("/");
      found.set(path, { pid: Number(thread), command: stat[1] ?? "?", switches });
    }
  }
  return found;
}

async function namedBy(
  path: string,
  command: string,
  connections: readonly ConnectionFacts[],
  mounts: readonly VolumeMount[],
  most: number,
): Promise<{ because: string; volume: string } | undefined> {
  const devices = connections.flatMap(({ volume, devices: own }) =>
    volume === undefined ? [] : own.map((device) => ({ volume: volume.slot, ...device })),
  );
  // Threads of a filesystem carry the name of its device, cut to 15 characters.
  const byName = devices.find(({ name }) => new RegExp(`[/-]${name}(?!\\d)`).test(command));
  if (byName !== undefined) return { because: `works for ${byName.path}`, volume: byName.volume };
  // Anybody can have a thread in state D, by vfork(2), and with it millions of descriptors.
  const fds = descriptorsOf(path) > most ? [] : await namesIn(`${path}/fd`);
  for (const name of ["cwd", ...fds.map((fd) => `fd/${fd}`)]) {
    const target = await linkOf(`${path}/${name}`);
    if (target === undefined) continue;
    const device = devices.find((each) => each.path === target);
    if (device !== undefined) return { because: `has ${target} open`, volume: device.volume };
    const mount = mounts.find((each) => target === each.path || target.startsWith(`${each.path}/`));
    if (mount?.volume !== undefined) return { because: `has ${target} open`, volume: mount.volume };
  }
  return undefined;
}

async function stackOf(path: string): Promise<readonly string[]> {
  return ((await textOf(`${path}/stack`)) ?? "")
    .split("\n")
    .map((line) => line.replace(/^\[<[0-9a-f]*>\]\s*/, "").trim())
    .filter((line) => line !== "")
    .slice(0, STACK_LINES);
}
