import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../../test/support/clock.ts";
import { EARLIER_FOLDER, earlierNqn } from "../../../test/support/earlier-commands.ts";
import { reconcilerOf } from "../../../test/support/own-stack.ts";
import { BLOCK, GIB } from "../../../test/support/rds-stack.ts";
import { wholeState } from "../../../test/support/simulator-state.ts";
import type { VolumeId } from "../../domain/volume-id.ts";
import { ExitCode } from "../exit-codes.ts";
import { earlierId, RWO_MOUNT, RWX_BLOCK, type Swap, useSwap } from "./adopt.fixture.ts";

const start = useSwap();
const A = earlierId(1);
const HOST = "nqn.2014-08.org.nvmexpress:uuid:of-the-earlier-driver";
const diskOf = ({ on }: Swap, id: VolumeId = A) => on.simulator.device.disk(id);
const dropped = ({ on }: Swap) => on.simulator.device.hosts.dropped;
const unpublish = ({ on }: Swap, node: string, id: VolumeId = A) =>
  on.attachments.unpublish(id, node, on.signal);
/** A volume that the earlier driver made and node-a has. */
async function running(swap: Swap, block = false): Promise<void> {
  await swap.earlier.create(A, GIB);
  swap.pv(A, block ? { mode: "Block", accessMode: "ReadWriteMany" } : {});
  swap.va(A, "node-a");
  swap.pod(A, "node-a");
  swap.earlier.connect(A, HOST);
}

describe("from the earlier driver to this one", () => {
  test("a workload runs on through the swap; then its volume is detached, attached elsewhere, grown and deleted", async () => {
    const swap = await start();
    await running(swap);
    // The installed driver refuses, until the volume is adopted.
    expect(await swap.outcome(swap.publish(A, "node-b", RWO_MOUNT))).toBe("volumeNotAdopted");
    await swap.adopt("--all", true);
    // What external-attacher may ask once more for the node that has it: nothing changes.
    const again = await swap.publish(A, "node-a", RWO_MOUNT);
    expect(again).toMatchObject({ nqn: earlierNqn(A), filesystemState: "used", sizeBytes: GIB });
    expect(await swap.outcome(swap.publish(A, "node-b", RWO_MOUNT))).toBe("attachedElsewhere");
    expect(await swap.outcome(swap.on.volumes.delete(A, swap.on.signal))).toBe("volumeInUse");
    expect([swap.earlier.connected(A), dropped(swap)]).toEqual([[HOST], 0]);

    // Grown in use.
    const range = { requiredBytes: 2n * GIB, limitBytes: 0n };
    const { expansions, signal } = swap.on;
    const grown = await expansions.expand({ volumeId: A, range, capability: RWO_MOUNT, signal });
    expect(grown).toEqual({ sizeBytes: 2n * GIB, nodeExpansionRequired: true });
    expect(swap.earlier.connected(A)).toEqual([HOST]);

    // Its node unstages it, and Kubernetes detaches it.
    swap.earlier.disconnect(A, HOST);
    await unpublish(swap, "node-a");
    expect(diskOf(swap)).toMatchObject({ exported: false, mountFilesystem: false });
    const next = await swap.publish(A, "node-b", RWO_MOUNT);
    // Never "new": a filesystem is made only on a device that is blank all over.
    expect(next.filesystemState).toBe("used");
    expect(next.nqn).toMatch(new RegExp(`^${earlierNqn(A).replaceAll(".", "[.]")}[.]\\d+-[0-9a-f]{8}$`));
    // A node that comes back with the old name finds nothing.
    expect(swap.earlier.connect(A, HOST)).toBe(false);

    await unpublish(swap, "node-b");
    await swap.on.volumes.delete(A, swap.on.signal);
    expect(diskOf(swap)).toBeUndefined();
    expect(swap.on.simulator.device.file(`${EARLIER_FOLDER}/${A}.img`)).toBeUndefined();
    await swap.on.volumes.delete(A, swap.on.signal);
  });

  test("an adopted volume is never one whose first attachment may format it", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    await swap.adopt(A, true);
    // Even with the lowest epoch that a record can have.
    const comment = diskOf(swap)?.comment.replace(/;e=\d+/, "") ?? "";
    await swap.on.simulator.device.setDisk(A, { comment });
    expect(await swap.publish(A, "node-a", RWO_MOUNT)).toMatchObject({ filesystemState: "used" });
    expect(swap.record(A).epoch).toBe(1);
  });

  test("a shared block volume migrates from the node that the earlier driver attached", async () => {
    const swap = await start();
    await running(swap, true);
    await swap.adopt(A, true);
    const second = await swap.publish(A, "node-b", RWX_BLOCK);
    expect(second.nqn).toBe(earlierNqn(A));
    expect(swap.earlier.connected(A)).toEqual([HOST]);
    expect(await swap.outcome(swap.publish(A, "node-c", RWX_BLOCK))).toBe("thirdNode");
    swap.earlier.disconnect(A, HOST);
    await unpublish(swap, "node-a");
    expect(diskOf(swap)).toMatchObject({ exported: true, nqn: earlierNqn(A) });
    expect(swap.record(A).attachments.map(({ node }) => node)).toEqual(["node-b"]);
    expect(dropped(swap)).toBe(0);
    await unpublish(swap, "node-b");
    expect(diskOf(swap)?.exported).toBe(false);
  });

  test("an adopted volume does not move into a subvolume, as no item with its slot can be made again", async () => {
    const swap = await start({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 8n * GIB }] });
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    await swap.adopt(A, true);
    const { conversions } = swap.on.rds;
    await expect(conversions.look(A, swap.on.signal)).rejects.toMatchObject({
      id: "conversionRefused",
      summary: expect.stringContaining("a slot of 40 characters"),
    });
  });

  test("a RouterOS that refuses such slots still lets an item have its record, be exported and be removed", async () => {
    const swap = await start({ switches: { version: "7.23 (stable)" } });
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    swap.on.simulator.setSwitches({ version: "7.24.5 (stable)" });
    await expect(swap.earlier.create(earlierId(9), GIB)).resolves.toBeUndefined();
    await swap.adopt(A, true);
    await swap.publish(A, "node-a", { ...BLOCK, accessMode: "SINGLE_NODE_MULTI_WRITER" });
    await unpublish(swap, "node-a");
    await swap.on.volumes.delete(A, swap.on.signal);
    expect(diskOf(swap)).toBeUndefined();
  });
});

describe("from this driver back to the earlier one", () => {
  test("a workload that ran through the swap goes on under the earlier driver, which detaches, grows and deletes", async () => {
    const swap = await start();
    await running(swap);
    const made = structuredClone(diskOf(swap));
    await swap.adopt(A, true);
    const adopted = structuredClone(diskOf(swap));
    const plan = await swap.undo("--all");
    expect(plan.out).toContain(`Volume ${A}: loses its record; node-a keeps its connection.\n`);
    expect(diskOf(swap)).toEqual(adopted as never);
    expect((await swap.undo("--all", true)).code).toBe(ExitCode.ok);
    expect(diskOf(swap)).toEqual({ ...made, mountFilesystem: false } as never);
    expect([swap.earlier.connected(A), dropped(swap)]).toEqual([[HOST], 0]);
    // This driver leaves it alone from now on.
    expect(await swap.outcome(unpublish(swap, "node-a"))).toBe("volumeNotAdopted");
    expect(await swap.earlier.isReady(A)).toBe(true);
    await swap.earlier.resize(A, 2n * GIB);
    expect(diskOf(swap)?.size).toBe(2n * GIB);
    swap.earlier.disconnect(A, HOST);
    await swap.earlier.remove(A);
    expect(diskOf(swap)).toBeUndefined();
    expect(swap.on.simulator.device.file(`${EARLIER_FOLDER}/${A}.img`)).toBeUndefined();
  });

  test("a volume that this driver detached is exported again under the name that the earlier one knows", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    const made = structuredClone(diskOf(swap));
    await swap.adopt(A, true);
    await swap.publish(A, "node-b", RWO_MOUNT);
    const attached = await swap.undo("--all", true);
    expect(attached.code).toBe(ExitCode.problems);
    expect(attached.out).toContain("node-b has it under NQN");
    await unpublish(swap, "node-b");
    expect(await swap.earlier.isReady(A)).toBe(false);
    const { device } = swap.on.simulator;
    await device.addForeignDisk({ slot: "backup", path: "storage-pool/backup.img", size: GIB });
    await device.setDisk("backup", { "nvme-tcp-server-nqn": earlierNqn(A), "nvme-tcp-export": true });
    const beside = await swap.undo(A, true);
    expect([beside.code, beside.out]).toEqual([
      ExitCode.problems,
      expect.stringContaining("stays; disk backup is exported under the NQN"),
    ]);
    await device.setDisk("backup", { "nvme-tcp-export": false });
    expect((await swap.undo(A, true)).code).toBe(ExitCode.ok);
    expect(diskOf(swap)).toEqual({ ...made, mountFilesystem: false } as never);
    expect([await swap.earlier.isReady(A), swap.earlier.connect(A, HOST)]).toEqual([true, true]);
    expect((await swap.undo(A, true)).error).toContain("it has no record yet");
  });

  test("and forward again: a volume that the earlier driver has had meanwhile is taken from no node before it is adopted anew", async () => {
    const swap = await start();
    await swap.earlier.create(A, GIB);
    swap.pv(A);
    await swap.adopt(A, true);
    await swap.publish(A, "node-a", RWO_MOUNT);
    await unpublish(swap, "node-a");
    const { epoch, settings } = swap.record(A);
    // Somebody switches the export on, and leaves the record.
    const { device } = swap.on.simulator;
    await device.setDisk(A, { "nvme-tcp-server-nqn": earlierNqn(A), "nvme-tcp-export": true });
    swap.va(A, "node-b");
    swap.earlier.connect(A, HOST);
    // This driver, with a memory from before and without one.
    for (const stack of [swap.on, swap.on.controller()]) {
      const { attachments } = stack;
      await stack.rds.list(swap.on.signal);
      const request = { volumeId: A, nodeId: "node-c", capability: RWO_MOUNT, readonly: false };
      const { signal } = swap.on;
      expect(await swap.outcome(attachments.publish({ ...request, signal }))).toBe("volumeNotAdopted");
      expect(await swap.outcome(attachments.unpublish(A, "node-a", signal))).toBe("volumeNotAdopted");
    }
    expect([swap.earlier.connected(A), dropped(swap)]).toEqual([[HOST], 0]);
    const before = await wholeState(device);
    expect((await swap.adopt(A)).out).toContain("- It was adopted before, and keeps the settings of then");
    expect(await wholeState(device)).toEqual(before);
    await swap.adopt(A, true);
    expect(swap.record(A)).toMatchObject({ attachments: [{ node: "node-b" }], settings });
    expect(swap.record(A).epoch).toBeGreaterThan(epoch);
    expect([swap.earlier.connected(A), dropped(swap)]).toEqual([[HOST], 0]);
  });

  test("reconcile takes a volume from no node that the earlier driver attached behind the record's back", async () => {
    const swap = await start();
    await running(swap);
    await swap.adopt(A, true);
    // The earlier driver, back without --undo, moves the volume: the record still says node-a, which is gone by now.
    swap.noVa(A, "node-a");
    swap.va(A, "node-b");
    const { reader } = await swap.world.client();
    const clock = new ManualClock(Date.now() + 3_600_000);
    const reconciler = reconcilerOf(swap.on, { clock, cluster: reader });
    await reconciler.tick(swap.on.signal);
    expect(diskOf(swap)).toMatchObject({ exported: true, nqn: earlierNqn(A) });
    expect([swap.earlier.connected(A), dropped(swap)]).toEqual([[HOST], 0]);
    // Without another node it is a stale attachment like any other.
    swap.noVa(A, "node-b");
    swap.earlier.disconnect(A, HOST);
    await reconciler.tick(swap.on.signal);
    expect(diskOf(swap)?.exported).toBe(false);
  });

  test("with --fencing off the NQN stays the one that the earlier driver knows", async () => {
    const swap = await start({ fencing: "off" });
    await running(swap);
    await swap.adopt(A, true);
    swap.earlier.disconnect(A, HOST);
    await unpublish(swap, "node-a");
    expect((await swap.publish(A, "node-b", RWO_MOUNT)).nqn).toBe(earlierNqn(A));
    expect(await swap.earlier.isReady(A)).toBe(true);
  });
});
