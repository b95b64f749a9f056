import { writeSync } from "node:fs";
import process from "node:process";
import { LabVolume } from "../lab/volume.ts";
import { World } from "../lab/world.ts";
import { verifyRecords, Writer } from "../lab/writer.ts";
import { median, timed } from "../support/figures.ts";
import { block, type Capability, MIB, Mode, mount } from "../support/rpc.ts";
import type { Row } from "./table.ts";

// A program of its own: scripts/lab runs it where the lab is prepared. Its last line is the rows as JSON. Times are those of this
// machine's clock, and the kernels of all machines share its processors.

const quick = process.argv.includes("--quick");
const rows: Row[] = [];
const say = (text: string) => console.error(`bench: ${text}`);

/** Seconds that each of some rounds has taken; the first one warms up. */
async function rounds(count: number, round: (index: number) => Promise<number>): Promise<number[]> {
  const taken: number[] = [];
  for (let index = 0; index <= (quick ? 1 : count); index++) taken.push((await round(index)) / 1000);
  return taken.slice(1);
}

/** Waits until a writer has one more record acknowledged. */
async function untilMore(world: World, writer: Writer, than: number): Promise<void> {
  await world.until("a further record", async () => (await writer.acknowledged()) > than, 120_000);
}

/** All calls of a volume, from CreateVolume to DeleteVolume. */
async function wholeLife(world: World, name: string, capability: Capability): Promise<void> {
  say(`whole life: ${name}`);
  const taken = await rounds(10, (index) =>
    timed(async () => {
      const volume = await LabVolume.create(world, `life-${name.split(" ")[0]}-${index}`, capability);
      await volume.up("node-a");
      await volume.down("node-a");
      await volume.delete();
    }),
  );
  rows.push({ name: `whole life of a 1 GiB volume, ${name}: eight calls`, value: median(taken), unit: "s" });
}

/** The calls of a live migration until the second node has its device, while the first one writes. */
async function dualAttach(world: World): Promise<void> {
  say("dual attach");
  const volume = await LabVolume.create(world, "dual", block(Mode.MULTI_NODE_MULTI_WRITER), {}, 64n * MIB);
  const alone: number[] = [];
  const taken = await rounds(10, async (index) => {
    alone.push((await timed(() => volume.up("node-a"))) / 1000);
    const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, index + 1);
    await untilMore(world, writer, 200);
    const ms = await timed(() => volume.up("node-b"));
    await world.machine("node-b").sh(`test -b ${volume.target()}`);
    await untilMore(world, writer, await writer.acknowledged());
    await verifyRecords(world.machine("node-b"), volume.target(), await writer.stop(), index + 1);
    await volume.down("node-a");
    await volume.down("node-b");
    return ms;
  });
  await volume.delete();
  rows.push({
    name: "dual attach: publish, stage and node-publish on a second node while the first one writes",
    value: median(taken),
    unit: "s",
    beside: { name: "on the only node", value: median(alone.slice(1)) },
  });
}

/** From the power-on of the RDS, which lost its power under a writer, to the next acknowledged record. */
async function restart(world: World, reconnectDelay: string): Promise<void> {
  say(`restart of the RDS, reconnectDelay ${reconnectDelay}`);
  const parameters = { reconnectDelay };
  const volume = await LabVolume.create(world, `again-${reconnectDelay}`, block(), parameters, 64n * MIB);
  await volume.up("node-a");
  const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
  await untilMore(world, writer, 200);
  const serves: number[] = [];
  const resumed = await rounds(5, async () => {
    await world.rds.powerOff();
    const last = await writer.acknowledged();
    const on = performance.now();
    const again = untilMore(world, writer, last).then(() => performance.now() - on);
    await world.boot("rds");
    await world.startRds();
    serves.push((performance.now() - on) / 1000);
    return await again;
  });
  await verifyRecords(world.machine("node-a"), volume.target(), await writer.stop(), 1);
  await volume.down("node-a");
  await volume.delete();
  rows.push({
    name: `power-on of the RDS to resumed I/O, reconnectDelay ${reconnectDelay}`,
    value: median(resumed),
    unit: "s",
    beside: { name: "until it has exported again", value: median(serves.slice(1)) },
  });
}

const world = await World.start();
const end = async (status: number, failed: boolean) => {
  await world.close(failed).catch((error: unknown) => console.error(error));
  process.exit(status);
};
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => end(143, false));
try {
  await wholeLife(world, "ext4 (mount)", mount());
  await wholeLife(world, "block device", block());
  await dualAttach(world);
  for (const reconnectDelay of ["1", "5"]) await restart(world, reconnectDelay);
  writeSync(1, `${JSON.stringify(rows)}\n`);
} catch (error) {
  console.error(error);
  await end(1, true);
}
await end(0, false);
