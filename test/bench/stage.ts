import { execFile } from "node:child_process";
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { noDevices } from "../support/executable.ts";
import { median, timed } from "../support/figures.ts";
import { GIB, mount } from "../support/rpc.ts";
import type { Stand } from "../support/stand.ts";
import { type Bench, onStand } from "./measure.ts";
import { noStrace, startedPrograms } from "./started-programs.ts";

const NODE = "node-a";
const run = promisify(execFile);

/** The calls of a filesystem volume on a node with loop devices, in the order of a pod's life. */
export async function nodeCalls(stand: Stand, name: string, sizeBytes: bigint) {
  const volumeCapability = mount();
  const volumeId = volumeIdFromName(name);
  await stand.controller.createVolume({
    name,
    capacityRange: { requiredBytes: sizeBytes },
    volumeCapabilities: [volumeCapability],
  });
  const attach = { volumeId, nodeId: NODE, volumeCapability };
  const { publishContext } = await stand.controller.controllerPublishVolume(attach);
  const work = join(stand.directory, "pods");
  await mkdir(work, { recursive: true });
  const stagingTargetPath = join(work, `${name}.staging`);
  const targetPath = join(work, `${name}.target`);
  const request = { volumeId, publishContext, volumeCapability, stagingTargetPath, targetPath };
  const node = stand.node(NODE);
  return {
    stage: () => node.nodeStageVolume(request),
    publish: () => node.nodePublishVolume(request),
    stats: () => node.nodeGetVolumeStats({ ...request, volumePath: targetPath }),
    /** Growth on the controller, which the node has yet to follow. */
    grow: () =>
      stand.controller.controllerExpandVolume({ volumeId, capacityRange: { requiredBytes: 2n * sizeBytes } }),
    expand: () =>
      node.nodeExpandVolume({ volumeId, volumePath: targetPath, stagingTargetPath, volumeCapability }),
    unpublish: () => node.nodeUnpublishVolume(request),
    unstage: () => node.nodeUnstageVolume(request),
    remove: async () => {
      await stand.controller.controllerUnpublishVolume(attach);
      await stand.controller.deleteVolume({ volumeId });
    },
  };
}

/** A stand whose node has loop devices. */
export const onNodeStand = <T>(work: (stand: Stand, pid: number) => Promise<T>): Promise<T> =>
  onStand({ nodes: [NODE], startNodes: true }, (stand) =>
    work(stand, stand.nodeProcesses.get(NODE)?.pid ?? 0),
  );

/** Stage of a new 1 GiB ext4 and of the same one again: time, and programs by the kernel's count. Needs root. */
export async function stage(bench: Bench): Promise<void> {
  if (noDevices !== "") return bench.say(`calls of the node are left out ${noDevices}`);
  await onNodeStand(async (stand, pid) => {
    bench.say("stages 1 GiB volumes");
    const fresh: number[] = [];
    const again: number[] = [];
    const alone: number[] = [];
    for (let round = 0; round < (bench.quick ? 4 : 16); round++) {
      const calls = await nodeCalls(stand, `stage-${round}`, GIB);
      const first = await timed(calls.stage);
      await calls.unstage();
      const second = await timed(calls.stage);
      await calls.unstage();
      await calls.remove();
      const programs = await programsAlone(stand.directory);
      // The first round warms up.
      if (round === 0) continue;
      fresh.push(first);
      again.push(second);
      alone.push(programs);
    }
    const beside = { name: "losetup, mkfs.ext4, mount alone", value: median(alone) };
    bench.add({
      name: "Stage of a new 1 GiB ext4",
      value: median(fresh),
      unit: "ms",
      beside,
      goal: { most: 90 },
    });
    bench.add({ name: "Stage of that ext4 again", value: median(again), unit: "ms" });
    if (noStrace !== "") return bench.say(`counts of programs are left out ${noStrace}`);
    const calls = await nodeCalls(stand, "counted", GIB);
    const count = async (name: string, call: () => Promise<unknown>, most?: number) => {
      const programs = await startedPrograms(pid, call);
      bench.say(`${name}: ${programs.join(" ")}`);
      const goal = most === undefined ? {} : { goal: { most } };
      bench.add({ name, value: programs.length, unit: "processes", ...goal });
    };
    await count("processes of a Stage of a new 1 GiB ext4", calls.stage, 9);
    await calls.unstage();
    await count("processes of a Stage of that ext4 again", calls.stage);
    await count("processes of its Unstage", calls.unstage);
    await calls.remove();
  });
}

/** The programs that no Stage of a new ext4 on a loop device can do without, run alone; milliseconds. */
async function programsAlone(directory: string): Promise<number> {
  const image = join(directory, "alone.img");
  const target = join(directory, "alone");
  const path = `${process.env.PATH}:/usr/sbin:/sbin`;
  const program = (name: string, ...args: string[]) => run(name, args, { env: { PATH: path } });
  await program("truncate", "-s", String(GIB), image);
  await mkdir(target, { recursive: true });
  let device = "";
  const ms = await timed(async () => {
    device = (await program("losetup", "--find", "--show", image)).stdout.trim();
    await program("mkfs.ext4", "-q", "-m", "0", "-E", "nodiscard", "--", device);
    await program("mount", device, target);
  });
  await program("umount", target);
  await program("losetup", "--detach", device);
  await rm(image);
  return ms;
}
