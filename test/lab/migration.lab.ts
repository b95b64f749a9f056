import { expect } from "bun:test";
import process from "node:process";
import { block, MIB, Mode } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import { RECORDS, type World } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

const RWX = block(Mode.MULTI_NODE_MULTI_WRITER);
const MIGRATIONS = Number(process.env.RDS_CSI_LAB_MIGRATIONS ?? 20);
const RECORDS_PER_SIDE = 200;

/** A machine that moves: both nodes attached, the old side quiet before the new one writes, then the old side detached. */
async function migrate(
  world: World,
  volume: LabVolume,
  writer: Writer,
  [from, to]: readonly [string, string],
  tag: number,
): Promise<Writer> {
  await volume.up(to);
  const last = await writer.stop();
  await verifyRecords(world.machine(to), volume.target(), last);
  const moved = await Writer.start(world.machine(to), volume.target(), last + 1, tag);
  await world.until(
    "writes on the new node",
    async () => (await moved.acknowledged()) > last + RECORDS_PER_SIDE,
  );
  await volume.down(from);
  return moved;
}

async function progress(world: World, writer: Writer, more = RECORDS_PER_SIDE): Promise<void> {
  const before = await writer.acknowledged();
  await world.until("the writer goes on", async () => (await writer.acknowledged()) >= before + more, 60_000);
}

lab("live migration between two machines", { nodes: ["node-a", "node-b", "node-c"] }, (scenario) => {
  scenario(
    `${MIGRATIONS} times with a continuous direct-I/O writer; a third node never gets in`,
    async (world) => {
      const volume = await LabVolume.create(world, "moving", RWX, {}, 64n * MIB);
      await volume.up("node-a");
      let writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
      await progress(world, writer);
      for (let n = 1; n <= MIGRATIONS; n++) {
        const [from, to] = n % 2 === 1 ? (["node-a", "node-b"] as const) : (["node-b", "node-a"] as const);
        writer = await migrate(world, volume, writer, [from, to], n + 1);
        if (n === 1) {
          await volume.attach("node-a");
          await expect(volume.attach("node-c")).rejects.toMatchObject({ code: 9 });
          await volume.detach("node-a");
        }
      }
      const last = await writer.stop();
      const holder = MIGRATIONS % 2 === 0 ? "node-a" : "node-b";
      await verifyRecords(world.machine(holder), volume.target(), last);
      await volume.down(holder);
      await volume.delete();
    },
  );

  scenario("aborted: the target goes again, the source never stopped", async (world) => {
    const volume = await LabVolume.create(world, "abort", RWX, {}, 64n * MIB);
    await volume.up("node-a");
    const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
    await progress(world, writer);
    await volume.up("node-b");
    await progress(world, writer);
    await volume.down("node-b");
    await progress(world, writer);
    const last = await writer.stop();
    await verifyRecords(world.machine("node-a"), volume.target(), last, 1);
    expect(await volume.states("node-b")).toEqual([]);
    await volume.down("node-a");
    await volume.delete();
  });

  scenario("the RDS restarts in the middle: both sides reconnect, the writer goes on", async (world) => {
    const volume = await LabVolume.create(world, "restart", RWX, { reconnectDelay: "1" }, 64n * MIB);
    await volume.up("node-a");
    let writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
    await volume.up("node-b");
    await progress(world, writer);
    await world.rds.powerOff();
    await world.boot("rds");
    await world.startRds();
    await progress(world, writer);
    expect(await volume.states("node-a")).toEqual(["live"]);
    await world.until("node-b live again", async () => (await volume.states("node-b")).join() === "live");
    const last = await writer.stop();
    await verifyRecords(world.machine("node-b"), volume.target(), last, 1);
    writer = await Writer.start(world.machine("node-b"), volume.target(), last + 1, 2);
    await volume.down("node-a");
    await progress(world, writer);
    await verifyRecords(world.machine("node-b"), volume.target(), await writer.stop());
    await volume.down("node-b");
    await volume.delete();
  });

  for (const dies of ["node-a", "node-b"] as const) {
    const side = dies === "node-a" ? "source" : "target";
    scenario(
      `power-off of the ${side} in the middle: the other side has every acknowledged record`,
      async (world) => {
        const volume = await LabVolume.create(world, `dies-${dies}`, RWX, {}, 64n * MIB);
        await volume.up("node-a");
        const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
        await volume.up("node-b");
        await progress(world, writer);
        const survivor = dies === "node-a" ? "node-b" : "node-a";
        const acknowledged = await writer.acknowledged();
        await world.machine(dies).powerOff();
        await volume.detach(dies);
        let last: number;
        if (dies === "node-b") {
          await progress(world, writer);
          last = await writer.stop();
        } else {
          last = Number(await world.machine(survivor).sh(`${RECORDS} newest ${volume.target()}`));
          expect(last).toBeGreaterThanOrEqual(acknowledged);
        }
        await verifyRecords(world.machine(survivor), volume.target(), last, 1);
        await volume.down(survivor);
        await world.boot(dies);
        await world.startNode(dies);
        // A rebooted node takes it again.
        await volume.up(dies);
        await verifyRecords(world.machine(dies), volume.target(), last);
        await volume.down(dies);
        await volume.delete();
      },
    );
  }
});
