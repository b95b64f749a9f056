import { mkdir, readdir, realpath, stat } from "node:fs/promises";
import { isDeepStrictEqual } from "node:util";
import { failure } from "../domain/errors/driver-error.ts";
import { poll } from "../domain/poll.ts";
import { readBlockDevice } from "../host/block-device.ts";
import type { BlockDevice, Connection, DataPath, Target } from "../host/data-path.ts";
import { succeed } from "../host/exec.ts";
import { isCode } from "../host/files.ts";
import type { NodeSystem } from "../host/system.ts";
import { missingTools } from "../host/tools.ts";
import { attachedLoops } from "../mount/loops.ts";
import { blockUsers } from "../mount/users.ts";
import { claimImage, dropClaim, isClaimOf } from "./loop-claim.ts";
import { openExport, readExport } from "./loop-export.ts";
import {
  describeLoop,
  dropLoopRecord,
  findOrphans,
  readLoopRecords,
  recordedNqn,
  writeLoopRecord,
} from "./loop-record.ts";
import { parseVolumeNqn, requireVolumeNqn } from "./nqn.ts";

export interface LoopOptions {
  /** Where the simulator writes its exports. */
  readonly exportsDir: string;
  /**
   * This node's own directory, made if it is missing; its parent must exist. Two nodes on one machine must not share
   * it.
   */
  readonly stateDir: string;
  readonly nqnPrefix: string;
}

const DEADLINE_MS = 20_000;
const POLL_MS = 50;
const GONE_MS = 10_000;

/**
 * The data path of the simulator: image files through loop devices.
 *
 * A node claims an image by a second name, `<stateDir>/<nqn>` (loop-claim.ts), and attaches that name. So the kernel itself
 * (`/sys/block/loopN/loop/backing_file`) names node and NQN of a loop device, and two nodes on one
 * machine get a loop device each for one image. Once the container that attached it is gone, the kernel knows no name any more.
 * Then a record names the device, as long as the kernel reports the same filesystem and inode (loop-record.ts).
 */
export function createLoopDataPath(system: NodeSystem, options: LoopOptions): DataPath {
  const { exportsDir, nqnPrefix } = options;
  let ready: Promise<string> | undefined;
  const stateDir = () => {
    ready ??= prepare(options.stateDir).catch((error: unknown) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };

  /** Loop devices of this node by NQN. */
  const attached = async (): Promise<Map<string, BlockDevice[]>> => {
    const root = `${await stateDir()}/`;
    const found = new Map<string, BlockDevice[]>();
    const add = async (name: string, nqn: string): Promise<void> => {
      const device = await readBlockDevice(`${system.sysRoot}/block/${name}`, name, nqn);
      if (device !== undefined) found.set(nqn, [...(found.get(nqn) ?? []), device]);
    };
    const others: string[] = [];
    for (const { name, path } of await attachedLoops(system.sysRoot)) {
      if (path.startsWith(root)) await add(name, path.slice(root.length));
      else others.push(name);
    }
    for (const [nqn, { name }] of await findOrphans(system, await stateDir(), others)) await add(name, nqn);
    return found;
  };

  const find = async (nqn: string): Promise<BlockDevice | undefined> => {
    requireVolumeNqn(nqnPrefix, nqn);
    const [device, ...others] = (await attached()).get(nqn) ?? [];
    if (device === undefined || others.length === 0) return device;
    throw failure("deviceAmbiguous", { nqn, devices: [device, ...others].map(({ path }) => path) });
  };

  const run = async (
    program: "losetup" | "blockdev",
    args: readonly string[],
    what: string,
    signal?: AbortSignal,
  ): Promise<void> => {
    const command = { program, args, deadlineMs: DEADLINE_MS, signal };
    await succeed(system.exec, command, (detail) => failure("nodeCommandFailed", { what, detail }));
  };

  /**
   * Takes back `blockdev --setro`: a loop device outlives its file, and the kernel keeps the switch for its next user
   * (Linux, block/ioctl.c, BLKROSET; measured with 6.18). A file that cannot be written stays read-only all the same.
   */
  const makeWritable = async (device: BlockDevice, signal?: AbortSignal): Promise<void> => {
    if (!device.readOnly) return;
    await run("blockdev", ["--setrw", device.path], `switching ${device.path} to writable`, signal);
  };

  const detach = async (device: BlockDevice, what: string, signal?: AbortSignal): Promise<void> => {
    await makeWritable(device, signal);
    await run("losetup", ["--detach", device.path], what, signal);
  };

  /**
   * A node that was killed may leave a losetup behind that attaches the claim beside that of its successor.
   * @returns the device that is attached then
   */
  const detachSpare = async (nqn: string, signal?: AbortSignal): Promise<BlockDevice | undefined> => {
    const devices = (await attached()).get(nqn) ?? [];
    if (devices.length < 2) return devices[0];
    const spare: BlockDevice[] = [];
    for (const device of devices) {
      if ((await blockUsers(system, device, "ignore", signal)).length === 0) spare.push(device);
    }
    for (const device of spare.length === devices.length ? spare.slice(1) : spare) {
      await detach(device, `detaching the spare ${device.path} (${nqn})`, signal);
    }
    return await find(nqn);
  };

  /**
   * Takes away claims and records that have no device: those of a process that was killed while it connected or disconnected. As hard links
   * claims would keep the space of deleted images. Only once, at the start of a node's process, as nothing is being connected then.
   */
  let started = false;
  const giveUpClaims = async (): Promise<void> => {
    if (started) return;
    started = true;
    const directory = await stateDir();
    const devices = await attached();
    for (const name of await readdir(directory)) {
      const nqn = recordedNqn(name);
      if (parseVolumeNqn(nqnPrefix, nqn) === undefined || devices.has(nqn)) continue;
      if (nqn === name) await dropClaim(system, `${directory}/${name}`);
      else await dropLoopRecord(directory, nqn);
    }
  };

  const connect = async (target: Target, signal?: AbortSignal): Promise<BlockDevice> => {
    const { nqn } = target;
    requireVolumeNqn(nqnPrefix, nqn);
    const image = (await openExport(exportsDir, target)).path;
    const claim = `${await stateDir()}/${nqn}`;
    const existing = await detachSpare(nqn, signal);
    if (existing !== undefined) {
      const record = await describeLoop(system, existing.name, image);
      const noted = (await readLoopRecords(await stateDir())).get(nqn);
      if (noted !== undefined && isDeepStrictEqual(noted, record)) return existing;
      if (await isClaimOf(claim, image)) {
        await writeLoopRecord(await stateDir(), nqn, record);
        return existing;
      }
      throw failure("deviceChanged", { device: existing.path, nqn, found: `another file than ${image}` });
    }
    if (!(await isClaimOf(claim, image))) await claimImage(system, claim, image, signal);
    const attach = ["--find", "--show", "--direct-io=off", "--", claim];
    try {
      await run("losetup", attach, `attaching ${image}`, signal);
    } catch (error) {
      // Without the caller's signal, which may be aborted. A device that losetup has attached all the same keeps its claim.
      if (!(await attached()).has(nqn)) await dropClaim(system, claim);
      throw error;
    }
    const attachedNow = await find(nqn);
    if (attachedNow?.readOnly === true) await makeWritable(attachedNow, signal);
    const device = attachedNow?.readOnly === true ? await find(nqn) : attachedNow;
    if (device === undefined) throw failure("deviceNotReady", { nqn, state: "no loop device", seconds: 0 });
    await writeLoopRecord(await stateDir(), nqn, await describeLoop(system, device.name, image));
    return device;
  };

  /** Without the caller's signal: a kubelet that ends meanwhile does not repeat the call, and the claim would stay. */
  const disconnect = async (nqn: string): Promise<void> => {
    requireVolumeNqn(nqnPrefix, nqn);
    for (const device of (await attached()).get(nqn) ?? []) {
      await detach(device, `detaching ${device.path} (${nqn})`);
    }
    // losetup succeeds on a device in use, too: the kernel detaches it at its last close.
    const limits = { everyMs: POLL_MS, withinMs: GONE_MS };
    const isGone = async () => ((await attached()).has(nqn) ? undefined : true);
    if ((await poll(system.clock, limits, isGone)) === undefined) {
      throw failure("disconnectNotProven", { nqn, detail: "its loop device is still attached" });
    }
    await dropClaim(system, `${await stateDir()}/${nqn}`);
    await dropLoopRecord(await stateDir(), nqn);
  };

  return {
    kind: "loop",
    connect,
    find,
    disconnect,
    // A connection to an image file is always live.
    abandon: async () => {},
    users: (device, signal) => blockUsers(system, device, "ignore", signal),
    rescan: async (device, signal) => {
      const seen = await readExport(exportsDir, device.nqn);
      // The simulator has not shown hosts a new size yet.
      if (seen !== undefined && seen.sizeBytes <= device.sizeBytes) return (await find(device.nqn)) ?? device;
      await run("losetup", ["--set-capacity", device.path], `rescanning ${device.path}`, signal);
      const now = await find(device.nqn);
      if (now === undefined) {
        throw failure("deviceChanged", { device: device.path, nqn: device.nqn, found: "detached" });
      }
      return now;
    },
    list: async () => {
      const connections: Connection[] = [];
      for (const [nqn, devices] of await attached()) {
        const parsed = parseVolumeNqn(nqnPrefix, nqn);
        if (parsed === undefined) continue;
        for (const device of devices) connections.push({ ...parsed, state: "live", device });
      }
      return connections;
    },
    // A claim that cannot be taken away costs space only; the next start tries again.
    prepare: () => giveUpClaims().catch(() => {}),
    readinessProblems: async () => {
      const problems = [...(await missingTools("loop"))];
      await stateDir().catch((error: unknown) => problems.push(`--state-dir: ${String(error)}`));
      await stat(exportsDir).catch((error: unknown) => problems.push(`exports directory: ${String(error)}`));
      return problems;
    },
  };
}

async function prepare(directory: string): Promise<string> {
  await mkdir(directory, { mode: 0o700 }).catch((error: unknown) => {
    if (!isCode(error, "EEXIST")) throw error;
  });
  // The kernel reports the real path of a backing file.
  return await realpath(directory);
}
