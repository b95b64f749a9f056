import { execFile } from "node:child_process";
import { type FileHandle, mkdir, open, readlink, rmdir, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { deviceNumber } from "../../src/host/files.ts";
import { MIB } from "../support/rpc.ts";
import type { Caller } from "./calls.ts";
import type { History } from "./history.ts";
import { look } from "./look.ts";
import { type Action, NODES } from "./plan.ts";
import { delay, type Site } from "./site.ts";
import { PUBLISHED, UP } from "./volume-state.ts";
import type { VolumeUser } from "./volume-user.ts";

const run = promisify(execFile);

/** What an action may use. */
export interface Stage {
  readonly site: Site;
  readonly caller: Caller;
  readonly history: History;
}

/** Takes an action, if it fits the state of the volume. @returns whether it was taken */
export async function act(user: VolumeUser, action: Action, stage: Stage): Promise<boolean> {
  const [only] = user.up;
  switch (action.do) {
    case "attach":
      return await attach(user, action.node);
    case "detach":
      if (user.touched.length === 0) return false;
      for (const node of user.touched) await user.takeDown(node);
      return true;
    case "elsewhere":
      return await elsewhere(user, action.node);
    case "migrate":
      return await migrate(user, action, stage);
    case "write":
      await delay(action.ms);
      return only !== undefined;
    case "read":
      await user.writer.read();
      return only !== undefined;
    case "expand":
      return await expand(user, action.mib, stage);
    case "force":
      return await force(user);
    case "busy":
      return await busy(user, action, stage);
    case "crash":
      return await crash(user, action, stage);
    case "race":
      return await race(user, stage);
    case "leave":
      return await leave(user, action);
    case "delete":
      return await remove(user);
    case "create":
      if (user.volumeId === undefined && user.maybeThere) return false;
      await user.create();
      return true;
    default:
      return await look(user, action.do, stage);
  }
}

async function attach(user: VolumeUser, node: string): Promise<boolean> {
  if (user.volumeId === undefined && !(await user.create())) return true;
  // Kubernetes attaches elsewhere only after a detach.
  if (user.touched.some((other) => other !== node) || user.grownInUse) return false;
  if (user.plan.kind === "machine") {
    const { cluster } = user.site;
    cluster?.machineOn(user.plan.name, node);
    cluster?.migration(user.plan.name, "Succeeded");
  }
  if (await user.bringUp(node)) {
    if (user.writer.node === undefined) await user.writer.start(node, user.target(node));
  }
  return true;
}

async function elsewhere(user: VolumeUser, node: string): Promise<boolean> {
  if (user.volumeId === undefined || user.touched.includes(node)) return false;
  const holders = [...user.nodes.values()].filter(({ done }) => done >= PUBLISHED).length;
  if (holders < user.most) return false;
  await user.refused(user.publishCall(node)(), "^OK$");
  return true;
}

async function migrate(
  user: VolumeUser,
  { node, keep }: Extract<Action, { do: "migrate" }>,
  { site }: Stage,
): Promise<boolean> {
  const [source, ...others] = user.up;
  if (user.plan.kind !== "machine" || source === undefined || others.length > 0) return false;
  if (user.touched.length !== 1 || node === source || user.grownInUse) return false;
  const { name } = user.plan;
  site.cluster?.machineOn(name, source);
  user.migrating = true;
  site.cluster?.migration(name, "Scheduling");
  const up = await user.bringUp(node);
  if (up) {
    const third = NODES.find((each) => each !== source && each !== node) ?? "";
    await user.refused(user.publishCall(third)(), "^OK$");
  }
  const [stays, leaves] = up && keep === "target" ? [node, source] : [source, node];
  if (stays === node) {
    await user.writer.stop();
    await user.writer.start(node, user.target(node));
    site.cluster?.machineOn(name, node);
  }
  site.cluster?.migration(name, stays === node ? "Succeeded" : "Failed");
  if (await user.takeDown(leaves)) user.migrating = false;
  return true;
}

async function expand(user: VolumeUser, mib: number, { caller, history }: Stage): Promise<boolean> {
  const { volumeId } = user;
  if (volumeId === undefined) return false;
  const wanted = user.bytes + BigInt(mib) * MIB;
  const capacityRange = { requiredBytes: wanted };
  // Without an answer it may have grown.
  user.grownInUse = user.touched.length > 0;
  const grown = await caller.until(
    user.controllerCall(
      "ControllerExpandVolume",
      (controller, options) =>
        controller.controllerExpandVolume(
          { volumeId, capacityRange, volumeCapability: user.capability },
          options,
        ),
      "^NOT_FOUND",
    ),
  );
  if (grown === undefined) return true;
  user.bytes = wanted;
  for (const node of user.up) {
    const done = await caller.until(
      user.nodeCall(node, "NodeExpandVolume", (client, options) =>
        client.nodeExpandVolume(
          {
            ...{ volumeId, capacityRange, volumeCapability: user.capability },
            ...{ volumePath: user.target(node), stagingTargetPath: user.staging(node) },
          },
          options,
        ),
      ),
      2,
    );
    if (done !== undefined && user.plan.kind !== "filesystem") await checkSize(user, node, history);
  }
  return true;
}

/** Whether a node sees the size that was acknowledged. */
async function checkSize(user: VolumeUser, node: string, history: History): Promise<void> {
  const { stdout } = await run("blockdev", ["--getsize64", user.target(node)]);
  const found = Number(stdout);
  history.add({ fact: "size", volume: user.plan.name, wanted: Number(user.bytes), found });
}

async function force(user: VolumeUser): Promise<boolean> {
  const [node, ...others] = user.up;
  // A loop device takes writes after a detach, as nothing fences it: no filesystem may be on it.
  if (user.plan.kind === "filesystem" || node === undefined || others.length > 0) return false;
  if (user.touched.length !== 1) return false;
  await user.writer.stop();
  user.forced.add(node);
  if (!(await user.unpublish(node))) user.progress(node).begun = UP;
  return true;
}

/** Attaches, or detaches, while the node or the controller is killed. */
async function crash(
  user: VolumeUser,
  { victim, node, ms }: Extract<Action, { do: "crash" }>,
  { site, history }: Stage,
): Promise<boolean> {
  const { touched } = user;
  const controller = `controller-${ms % site.plan.controllers}`;
  const process = victim === "controller" ? controller : (touched[0] ?? node);
  const killed = history.begun(
    delay(ms).then(() => {
      history.add({ fact: "note", text: `${process} is killed for ${user.plan.name}` });
      return site.restart(process, "kill", 100);
    }),
  );
  if (touched.length === 0) await attach(user, node);
  else for (const each of touched) await user.takeDown(each);
  await killed;
  return true;
}

async function race(user: VolumeUser, { caller, history }: Stage): Promise<boolean> {
  if (user.volumeId === undefined || user.touched.length > 0 || user.forced.size > 0) return false;
  user.detachedSince = undefined;
  const answers = await Promise.all(
    NODES.map(async (node) => {
      user.progress(node).begun = PUBLISHED;
      return { node, answer: await caller.once(user.publishCall(node)()) };
    }),
  );
  const nodes = answers.flatMap(({ node, answer }) => (answer.outcome === "OK" ? [node] : []));
  history.add({ fact: "granted", volume: user.plan.name, most: user.most, nodes });
  for (const node of NODES) await user.unpublish(node);
  return true;
}

async function leave(
  user: VolumeUser,
  { node, during, ms }: Extract<Action, { do: "leave" }>,
): Promise<boolean> {
  if (user.volumeId === undefined || user.touched.length > 0 || user.forced.has(node)) return false;
  await user.leaveDuring(node, during, ms);
  await user.takeDown(node);
  return true;
}

/** Path of the device that a node has for a volume. */
async function deviceOf(user: VolumeUser, node: string): Promise<string> {
  const { rdev } = await stat(user.target(node));
  const number = user.plan.kind === "filesystem" ? (await stat(user.staging(node))).dev : rdev;
  return `/dev/${basename(await readlink(`/sys/dev/block/${deviceNumber(number)}`))}`;
}

async function busy(
  user: VolumeUser,
  { by, ms }: Extract<Action, { do: "busy" }>,
  { site, history }: Stage,
): Promise<boolean> {
  const [node] = user.up;
  if (node === undefined) return false;
  await user.writer.stop();
  let held: string | undefined;
  let release: () => Promise<void>;
  if (by === "mount" && user.plan.kind === "filesystem") {
    const foreign = join(site.stand.directory, "foreign", user.plan.name);
    await mkdir(foreign, { recursive: true });
    await run("mount", ["--bind", user.staging(node), foreign]);
    release = async () => {
      await run("umount", [foreign]);
      await rmdir(foreign);
    };
  } else {
    const path = by === "device" ? await deviceOf(user, node) : user.target(node);
    const handle: FileHandle = await open(path, "r");
    release = () => handle.close();
  }
  held = by;
  const later = history.begun(
    delay(ms).then(() => {
      held = undefined;
      return release();
    }),
  );
  await user.takeDown(node, () => held);
  await later;
  return true;
}

async function remove(user: VolumeUser): Promise<boolean> {
  if (user.volumeId === undefined) return false;
  const attached = [...user.nodes.values()].some(({ done }) => done >= PUBLISHED);
  if (attached) {
    const { volumeId } = user;
    const call = user.controllerCall("DeleteVolume", (controller, options) =>
      controller.deleteVolume({ volumeId }, options),
    );
    await user.refused(call(), "^OK$");
    return true;
  }
  if (user.touched.length > 0 || user.forced.size > 0) return false;
  await user.remove();
  return true;
}
