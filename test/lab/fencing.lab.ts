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
      await a.sh(`(echo saved; head -c 64K /dev/zero) >${volume.target()}/f && sync ${volume.target()}/f`);
      // Never gives up by itself (ctrl-loss-tmo -1, the default), and has data to write.
      await volume.detach("node-a");
      await world.until("connecting", async () => (await volume.states("node-a")).join() === "connecting");
      await a.sh(`printf unsaved | dd of=${volume.target()}/f bs=4096 seek=1 status=none conv=notrunc`);
      await volume.unpublish("node-a");
      await volume.attach("node-a");
      await volume.stage("node-a");
      await volume.publish("node-a");
      expect(await a.sh(`head -c 5 ${volume.target()}/f`)).toBe("saved");
      expect(await a.sh(`grep -c unsaved ${volume.target()}/f || true`)).toBe("0");
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

lab(
  "an attach that RouterOS runs too late",
  { simulate: ["--switch", "interleaving=arguments"], hostTree: true },
  (scenario) => {
    scenario(
      "takes the export away from the node that was attached meanwhile: no write of that node reaches the disk any more",
      async (world) => {
        const volume = await LabVolume.create(world, "raced", block(), { reconnectDelay: "1" }, 64n * MIB);
        // The line of node-a's attach is held between its find and its set; the controller dies.
        await world.control("POST", "/faults", { kind: "hangMidway", boundary: 3, line: "/disk/set" });
        const lost = volume.attach("node-a").then(
          () => "answered",
          () => "lost",
        );
        await world.until("a line that hangs", async () =>
          (await world.control("GET", "/stats")).includes('"hanging":1'),
        );
        await world.killController();
        expect(await lost).toBe("lost");
        await world.startController();
        await volume.up("node-b");
        const old = await Writer.start(world.machine("node-b"), volume.target(), 1, OLD);
        await world.until("600 records", async () => (await old.acknowledged()) > 600);
        // The line runs on.
        await world.control("DELETE", "/faults");
        await world.until(
          "node-b has lost it",
          async () => (await volume.states("node-b")).join() === "connecting",
        );
        await volume.up("node-a");
        const fresh = await Writer.start(world.machine("node-a"), volume.target(), 1_000_000, NEW);
        await world.until("600 records of node-a", async () => (await fresh.acknowledged()) > 1_000_600);
        const last = await fresh.stop();
        // The time of several reconnects.
        await world.machine("node-b").sh("sleep 5", 60_000);
        expect(await volume.states("node-b")).toEqual(["connecting"]);
        await verifyRecords(world.machine("node-a"), volume.target(), last, NEW);
        await volume.down("node-a");
      },
    );
  },
);

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
