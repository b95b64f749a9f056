import { expect } from "bun:test";
import { block, MIB, Mode, mount } from "../support/rpc.ts";
import { lab } from "./scenario.ts";
import { LabVolume } from "./volume.ts";
import type { World } from "./world.ts";
import { verifyRecords, Writer } from "./writer.ts";

const GROWN = 512n * MIB;

const sizeOn = (world: World, volume: LabVolume, node: string) =>
  world.machine(node).sh(`blockdev --getsize64 ${volume.target()}`).then(BigInt);

const MODES = {
  announce: { switch: "at-once", flag: "announce" },
  "re-export": { switch: "after-reexport", flag: "re-export" },
} as const;

for (const [title, mode] of Object.entries(MODES)) {
  const options = {
    simulate: ["--switch", `online-resize=${mode.switch}`],
    controller: ["--online-expansion", mode.flag],
  };
  lab(
    `online growth, the target shows it ${mode.switch}, --online-expansion ${title}`,
    options,
    (scenario) => {
      for (const filesystem of ["ext4", "xfs"] as const) {
        scenario(`${filesystem} in use: device and filesystem grow, the data stays`, async (world) => {
          const volume = await LabVolume.create(
            world,
            `grow-${filesystem}`,
            mount(undefined, filesystem),
            { reconnectDelay: "1" },
            320n * MIB,
          );
          await volume.up("node-a");
          const a = world.machine("node-a");
          const at = volume.target();
          const sum = await a.sh(`head -c 4M /dev/urandom >${at}/f && sync ${at}/f && sha256sum <${at}/f`);
          expect(await volume.expandOnRds(GROWN)).toBe(GROWN);
          expect(await volume.expandOnNode("node-a", GROWN)).toBe(GROWN);
          expect(Number(await a.sh(`stat -f -c '%b %S' ${at} | awk '{print $1*$2}'`))).toBeGreaterThan(
            420 * 2 ** 20,
          );
          // Again changes nothing.
          expect(await volume.expandOnRds(GROWN)).toBe(GROWN);
          expect(await volume.expandOnNode("node-a", GROWN)).toBe(GROWN);
          expect(await a.sh(`sha256sum <${at}/f`)).toBe(sum);
          await volume.down("node-a");
          await volume.up("node-b");
          expect(await world.machine("node-b").sh(`sha256sum <${at}/f`)).toBe(sum);
          await volume.down("node-b");
          await volume.delete();
        });
      }

      scenario(
        "a raw volume on two nodes under a writer: both see it, every record is there",
        async (world) => {
          const rwx = block(Mode.MULTI_NODE_MULTI_WRITER);
          const volume = await LabVolume.create(world, "grow-two", rwx, { reconnectDelay: "1" }, 64n * MIB);
          await volume.up("node-a");
          await volume.up("node-b");
          const writer = await Writer.start(world.machine("node-a"), volume.target(), 1, 1);
          await world.until("600 records", async () => (await writer.acknowledged()) > 600);
          expect(await volume.expandOnRds(GROWN)).toBe(GROWN);
          for (const node of world.nodeNames) {
            expect(await volume.expandOnNode(node, GROWN)).toBe(GROWN);
            expect(await sizeOn(world, volume, node)).toBe(GROWN);
          }
          const before = await writer.acknowledged();
          await world.until("the writer goes on", async () => (await writer.acknowledged()) > before + 600);
          const last = await writer.stop();
          await verifyRecords(world.machine("node-b"), volume.target(), last, 1);
          for (const node of world.nodeNames) await volume.down(node);
          await volume.delete();
        },
      );
    },
  );
}

lab(
  "online growth where the target shows it only after a re-export, but none is allowed",
  { simulate: ["--switch", "online-resize=after-reexport"] },
  (scenario) => {
    scenario("the node says what is missing; the next stage shows and fills the size", async (world) => {
      const volume = await LabVolume.create(world, "grow-late", mount(), {}, 320n * MIB);
      await volume.up("node-a");
      expect(await volume.expandOnRds(GROWN)).toBe(GROWN);
      await expect(volume.expandOnNode("node-a", GROWN)).rejects.toMatchObject({
        code: 9,
        details: expect.stringContaining("re-export"),
      });
      await volume.down("node-a");
      await volume.up("node-a");
      const a = world.machine("node-a");
      const blocks = await a.sh(`stat -f -c '%b %S' ${volume.target()} | awk '{print $1*$2}'`);
      expect(Number(blocks)).toBeGreaterThan(420 * 2 ** 20);
      await volume.down("node-a");
      await volume.delete();
    });
  },
);
