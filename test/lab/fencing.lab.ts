import { expect } from "bun:test";
import { block, MIB, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import type { World } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

const OLD = 1;
const NEW = 2;

/**
 * node-a freezes with writes under way, is detached by force, node-b takes the volume over and writes; then node-a wakes up, and its
 * kernel reconnects as soon as it can.
 * @returns the last record of node-b, and its writer's device
 */
async function takeOver(world: World, name: string): Promise<{ volume: LabVolume; last: number }> {
  const volume = await LabVolume.create(world, name, block(), { reconnectDelay: "1" }, 64n * MIB);
  await volume.up("node-a");
  const old = await Writer.start(world.machine("node-a"), volume.target(), 1, OLD);
  await world.until("600 records", async () => (await old.acknowledged()) > 600);
  world.machine("node-a").pause();
  await volume.detach("node-a");
  await volume.up("node-b");
  const fresh = await Writer.start(world.machine("node-b"), volume.target(), 1_000_000, NEW);
  await world.until("600 records of node-b", async () => (await fresh.acknowledged()) > 1_000_600);
  const last = await fresh.stop();
  await verifyRecords(world.machine("node-b"), volume.target(), last, NEW);
  const frames = world.cable("node-a").frames;
  world.machine("node-a").resume();
  // It has the cable again and uses it; then it is given the time of several reconnects.
  await world.until("node-a talks again", async () => world.cable("node-a").frames > frames + 50);
  await world.machine("node-a").sh("sleep 8", 60_000);
  return { volume, last };
}

lab("a node that was detached by force and gets its volume back", {}, (scenario) => {
  scenario(
    "unsaved data of the old attachment does not keep the new one from being staged",
    async (world) => {
      const volume = await LabVolume.create(world, "back", mount(), { reconnectDelay: "1" }, 256n * MIB);
      await volume.up("node-a");
      const a = world.machine("node-a");
      await a.sh(`echo saved >${volume.target()}/f && sync ${volume.target()}/f`);
      // Never gives up by itself (ctrl-loss-tmo -1, the default), and has data to write.
      await volume.detach("node-a");
      await world.until("connecting", async () => (await volume.states("node-a")).join() === "connecting");
      await a.start("dirty", "/bin/dash", [
        "-c",
        `echo unsaved >${volume.target()}/g; exec sync -f ${volume.target()}`,
      ]);
      await volume.unpublish("node-a");
      await volume.attach("node-a");
      await volume.stage("node-a");
      await volume.publish("node-a");
      expect(await a.sh(`cat ${volume.target()}/f`)).toBe("saved");
      expect(await a.sh(`grep -c ' ${volume.staging} ' /proc/mounts`)).toBe("1");
      expect(await volume.states("node-a")).toEqual(["live"]);
      await volume.down("node-a");
      await volume.delete();
    },
  );
});

for (const fencing of ["epoch", "epoch+hosts"] as const) {
  lab(`fencing=${fencing}`, { controller: ["--fencing", fencing] }, (scenario) => {
    scenario(
      "a paused node that lost its volume wakes up: its writes never reach the disk",
      async (world) => {
        const { volume, last } = await takeOver(world, "fenced");
        expect(await volume.states("node-a")).toEqual(["connecting"]);
        await verifyRecords(world.machine("node-b"), volume.target(), last, NEW);
        await volume.down("node-b");
        await volume.delete();
      },
    );
  });
}

lab("fencing=off", { controller: ["--fencing", "off"] }, (scenario) => {
  scenario(
    "the same without fencing: the old node's writes do reach the disk, so the test above can fail",
    async (world) => {
      const { volume, last } = await takeOver(world, "unfenced");
      const check = verifyRecords(world.machine("node-b"), volume.target(), last, NEW);
      await expect(check).rejects.toThrow(/damaged or missing|of another writer/);
    },
  );
});
