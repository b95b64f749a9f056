import { expect } from "bun:test";
import { block, MIB, mount } from "../support/rpc.ts";
import { RpcFailure } from "./machine.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";

const VOLUMES = 100;
const AT_ONCE = 10;
const NODE = "node-a";
/** The code of gRPC. */
const DEADLINE_EXCEEDED = 4;

/** Works through a list, so many at a time. */
async function inParallel<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/** Calls as kubelet does, which repeats what did not finish in time: the machine has one processor for all, and others run beside it. */
async function patiently(call: () => Promise<void>): Promise<void> {
  for (let left = 4; ; left--) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof RpcFailure) || error.code !== DEADLINE_EXCEEDED || left === 0) throw error;
    }
  }
}

lab(`${VOLUMES} volumes on one node`, { nodes: [NODE], nodeMemory: "2G" }, (scenario) => {
  scenario(`staged, published, unpublished, unstaged ${AT_ONCE} at a time: nothing leaks`, async (world) => {
    const a = world.machine(NODE);
    const pid = world.services.get(NODE)?.pid;
    const memory = async () => Number(await a.sh(`awk '/VmRSS/ {print $2}' /proc/${pid}/status`)) / 1024;
    const look = async () => ({
      controllers: await a.sh("ls /sys/class/nvme | wc -l"),
      mounts: await a.sh("wc -l </proc/mounts"),
      loops: await a.sh("losetup -a | wc -l"),
      descriptors: Number(await a.sh(`ls /proc/${pid}/fd | wc -l`)),
    });
    const cycle = async (names: readonly string[]) => {
      const begun = performance.now();
      const volumes: LabVolume[] = [];
      await inParallel(names, async (name) => {
        const kind = Number(name.split("-").at(-1)) % 2 === 0 ? block() : mount();
        const volume = await LabVolume.create(world, name, kind, {}, 64n * MIB);
        volumes.push(volume);
        await volume.attach(NODE);
      });
      const stagedAt = performance.now();
      const patient = 300_000;
      await inParallel(volumes, async (volume) => {
        await patiently(() => volume.stage(NODE, patient));
        await patiently(() => volume.publish(NODE, "pod", patient));
      });
      const upAt = performance.now();
      expect(await a.sh("ls /sys/class/nvme | wc -l")).toBe(String(names.length));
      await inParallel(volumes, async (volume) => {
        await patiently(() => volume.unpublish(NODE, "pod", patient));
        await patiently(() => volume.unstage(NODE, patient));
      });
      const downAt = performance.now();
      await inParallel(volumes, async (volume) => {
        await volume.detach(NODE);
        await volume.delete();
      });
      return { create: stagedAt - begun, up: upAt - stagedAt, down: downAt - upAt };
    };
    // Code and buffers that are used for the first time.
    await cycle(Array.from({ length: AT_ONCE }, (_, n) => `warm-${n}`));
    const before = await look();
    const memoryBefore = await memory();
    const took = await cycle(Array.from({ length: VOLUMES }, (_, n) => `many-${n}`));
    const memoryAfter = await memory();
    expect(await look()).toEqual(before);
    console.log(
      `${VOLUMES} volumes, ${AT_ONCE} at a time: created and attached in ${Math.round(took.create)} ms, staged and published in ` +
        `${Math.round(took.up)} ms, taken down in ${Math.round(took.down)} ms; RSS ${Math.round(memoryBefore)} -> ${Math.round(memoryAfter)} MiB`,
    );
    // The runtime's own heap comes to a level of about 110 MiB; what stays level is test/executable/soak.test.ts.
    expect(memoryAfter).toBeLessThan(160);
    expect(await world.rds.sh("ls /sys/kernel/config/nvmet/subsystems | wc -l")).toBe("0");
  });
});
