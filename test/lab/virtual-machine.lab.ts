import { expect } from "bun:test";
import process from "node:process";
import { lab } from "./scenario.ts";
import { Guest } from "./vm/guest.ts";
import { FAST, noVirtualMachine, SLOW } from "./vm/qemu.ts";
import { QUICK } from "./volume.ts";
import { answers } from "./world.ts";

const MIGRATIONS = Number(process.env.RDS_CSI_LAB_VM_MIGRATIONS ?? 3);

lab("a virtual machine that migrates", { hostTree: true, mtu: 9000, lacks: noVirtualMachine }, (scenario) => {
  scenario(
    `${MIGRATIONS} times while it writes: each record is there, written once, by the side that ran`,
    async (world) => {
      const guest = await Guest.start(world, "vm-moves");
      for (let n = 1; n <= MIGRATIONS; n++) {
        const source = await guest.migrate(n % 2 === 1 ? "node-b" : "node-a");
        await guest.progress();
        await guest.leave(source);
      }
      await guest.finish();
    },
  );

  scenario(
    "the target is killed in the middle of the copy: the source goes on, and migrates later",
    async (world) => {
      const guest = await Guest.start(world, "vm-target-dies");
      const target = await guest.receive("node-b");
      await guest.copy(target);
      await guest.expectUnwritten(target);
      await target.qemu.kill();
      await guest.ended(guest.side, "failed");
      await guest.progress();
      await guest.abandon(target);
      const source = await guest.migrate("node-b");
      await guest.progress();
      await guest.leave(source);
      await guest.finish();
    },
  );

  scenario("cancelled in the middle of the copy: the source goes on, and migrates later", async (world) => {
    const guest = await Guest.start(world, "vm-cancelled");
    const target = await guest.receive("node-b");
    await guest.copy(target);
    await guest.expectUnwritten(target);
    await guest.side.qemu.ask("migrate_cancel");
    await guest.ended(guest.side, "cancelled");
    await guest.progress();
    await guest.abandon(target);
    const source = await guest.migrate("node-b");
    await guest.progress();
    await guest.leave(source);
    await guest.finish();
  });

  scenario("the source is killed after the switch: the target goes on", async (world) => {
    const guest = await Guest.start(world, "vm-source-dies");
    const source = await guest.migrate("node-b");
    await source.qemu.kill();
    await guest.progress();
    await guest.leave(source, "killed");
    await guest.progress();
    await guest.finish();
  });

  scenario(
    "the link to the RDS is cut while it switches: the switch waits for the last write",
    async (world) => {
      const guest = await Guest.start(world, "vm-cut", QUICK);
      const target = await guest.receive("node-b");
      await guest.copy(target);
      await guest.expectUnwritten(target);
      world.cable("rds").up = false;
      await guest.side.qemu.bandwidth(FAST);
      // The source waits for a write that is under way, and answers nobody.
      await world.until(
        "the source waits",
        async () => !(await answers(() => guest.side.qemu.ask("query-status", {}, 2_000))),
      );
      for (const node of world.nodeNames)
        await world.until(
          `${node} tries to reconnect`,
          async () => (await guest.volume.states(node)).join() === "connecting",
        );
      world.cable("rds").mend();
      const source = await guest.switched(target);
      await guest.progress();
      await guest.leave(source);
      await guest.finish();
    },
  );

  scenario("by post-copy: the target runs and writes before its memory is there", async (world) => {
    const guest = await Guest.start(world, "vm-post-copy");
    const target = await guest.receive("node-b", ["postcopy-ram"]);
    await guest.copy(target);
    await guest.expectUnwritten(target);
    await guest.side.qemu.ask("migrate-start-postcopy");
    // The target runs as soon as the pages that it asks for come, long before the last one.
    await guest.side.qemu.bandwidth(4 * SLOW);
    await guest.ended(guest.side, "postcopy-active");
    const before = await guest.recordsOn("node-a");
    await world.until("the target writes", async () => (await target.qemu.writes()) > 0, 240_000);
    expect(await guest.side.qemu.migration()).toMatchObject({ status: "postcopy-active" });
    expect(await guest.recordsOn("node-a")).toBe(before);
    await guest.side.qemu.bandwidth(FAST);
    const source = await guest.switched(target);
    expect(source.records).toBe(before);
    await guest.progress();
    await guest.leave(source);
    await guest.finish();
  });

  // The twin of the scenarios above: both sides write, and the checks fail.
  scenario(
    "a write of the target before the switch, and of the source after it, are noticed",
    async (world) => {
      const guest = await Guest.start(world, "vm-both");
      const target = await guest.receive("node-b");
      await guest.copy(target);
      // Slot 0 belongs to no record.
      const write = `dd if=/dev/zero of=${guest.volume.target()} bs=4096 count=1 oflag=direct`;
      await world.machine("node-b").sh(write);
      await guest.release(target);
      expect(guest.faults).toEqual(["node-b wrote 1 records before the switch"]);
      const source = await guest.switched(target);
      await source.qemu.ask("cont");
      await world.until(
        "the source writes",
        async () => (await guest.recordsOn("node-a")) > source.records,
        240_000,
      );
      await guest.progress();
      await guest.leave(source);
      expect(guest.faults[1]).toMatch(/^node-a wrote \d+ records after the switch$/);
      await expect(guest.finish()).rejects.toThrow(
        /the guest reported \d+ as its record \d+\n(.*\n)*\d+ records, but \d+ were written$/,
      );
    },
  );

  // The twin of every end above: the records are as they should be, and afterwards not.
  scenario(
    "a record that the disk loses, another one that it has twice, and a damaged one are noticed",
    async (world) => {
      const guest = await Guest.start(world, "vm-lost");
      await guest.progress(60);
      const last = await guest.stop();
      const dd = `dd of=${guest.disk} bs=4096 count=1 conv=notrunc,fsync`;
      await world.rds.sh(`${dd} if=/dev/zero seek=7
        ${dd} if=${guest.disk} skip=5 seek=${last + 30}
        printf x | dd of=${guest.disk} bs=1 seek=$((9 * 4096 + 100)) conv=notrunc,fsync`);
      await expect(guest.judge()).rejects.toThrow(
        [
          "slot 7: record 0 instead of 7",
          "slot 9: record 9 instead of 9, damaged",
          `slot ${last + 30}: record 5 instead of 0, damaged`,
        ].join("\n"),
      );
    },
  );
});
