import { afterEach, describe, expect, test } from "bun:test";
import { FILE_DISK, NEW_RECORD } from "../../test/support/records.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { ClusterView } from "./drift.ts";
import { looksUnasked } from "./left-behind.ts";
import { type ReconcileLab, startReconcileLab } from "./reconcile.fixture.ts";

/** What a line leaves that RouterOS ran after its caller had been answered otherwise. */
let lab: ReconcileLab | undefined;
afterEach(async () => {
  await lab?.on.close();
  lab = undefined;
});
const CLUSTER = "2b7e1c58-6a4d-4f0e-9c31-8d5f0a6b7c92";
const start = async (clusterId = CLUSTER): Promise<ReconcileLab> => {
  lab = await startReconcileLab({ clusterId });
  return lab;
};
const nodesOf = async ({ on }: ReconcileLab, id: VolumeId) =>
  (await on.volumes.getVolume(id, on.signal)).nodes;
const MINUTES = 60;

/** Looks every minute, as the loop does. */
async function look(
  world: ReconcileLab,
  loop: { tick(signal: AbortSignal): Promise<number> },
  minutes: number,
) {
  for (let minute = 0; minute < minutes; minute++) {
    world.pass(MINUTES);
    await loop.tick(world.on.signal);
  }
}

describe("an attachment that nothing has asked for", () => {
  test("is cleared after a quarter of an hour without VolumeAttachment and pod, and not before", async () => {
    const world = await start();
    const id = await world.volume("ghost");
    await world.publish(id, "node-a");
    const { loop } = world.reconciler();
    await look(world, loop, 15);
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
    await look(world, loop, 2);
    expect(await nodesOf(world, id)).toEqual([]);
    expect(world.on.simulator.device.disk(id)?.exported).toBe(false);
    expect(world.on.posted.map(({ reason }) => reason).slice(-2)).toEqual([
      "StaleAttachmentCleared",
      "VolumeFenced",
    ]);
  });

  test("is kept while a pod on the node uses the claim, or a pod of it has no node yet", async () => {
    const world = await start();
    const id = await world.volume("used");
    await world.publish(id, "node-a");
    world.cluster.addPod("user", "node-a");
    const { loop } = world.reconciler();
    await look(world, loop, 30);
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
    world.cluster.pods.splice(0);
    world.cluster.addPod("waiting", "", "disk", { node: undefined });
    await look(world, loop, 30);
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
  });

  test("is kept for another quarter of an hour after each call that asks for it", async () => {
    const world = await start();
    const id = await world.volume("asked-again");
    await world.publish(id, "node-a");
    const { loop } = world.reconciler();
    for (let call = 0; call < 4; call++) {
      await look(world, loop, 10);
      await world.publish(id, "node-a");
    }
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
  });

  test("is kept while its VolumeAttachment was there at any look meanwhile", async () => {
    const world = await start();
    const id = await world.volume("va-comes-and-goes");
    await world.publish(id, "node-a");
    const { loop } = world.reconciler();
    for (let round = 0; round < 4; round++) {
      await look(world, loop, 10);
      world.cluster.addAttachment(id, "node-a");
      await look(world, loop, 1);
      world.cluster.attachments.splice(0);
    }
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
  });

  test("is kept when no PersistentVolume of this cluster names its volume", async () => {
    const world = await start();
    const id = await world.volume("elsewhere", { pv: false });
    await world.publish(id, "node-a");
    const { loop } = world.reconciler();
    await look(world, loop, 30);
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
  });
});

describe("a volume that nobody was told of", () => {
  const UID = "0f4c3d1e-5b7a-4c7e-9d55-2f1f6a1f9a10";
  const NAME = `pvc-${UID}`;
  const there = (world: ReconcileLab) => world.on.simulator.device.disk(volumeIdFromName(NAME)) !== undefined;

  test("is removed after an hour without PersistentVolume, if its claim is gone", async () => {
    const world = await start();
    await world.volume(NAME, { pv: false });
    const { loop } = world.reconciler();
    await look(world, loop, 60);
    expect(there(world)).toBe(true);
    await look(world, loop, 2);
    expect(there(world)).toBe(false);
    expect(world.on.simulator.device.files.filter(({ path }) => path.endsWith(".img"))).toEqual([]);
  });

  test("is removed if another claim has the name now, and kept while its own is there", async () => {
    const world = await start();
    await world.volume(NAME, { pv: false });
    world.cluster.claimUids.set("vms/disk", UID);
    const { loop } = world.reconciler();
    await look(world, loop, 70);
    expect(there(world)).toBe(true);
    world.cluster.claimUids.set("vms/disk", "another");
    await look(world, loop, 1);
    expect(there(world)).toBe(false);
  });

  test("is kept where the cluster id is not the cluster's own UID: another cluster may have the same id and the claim", async () => {
    for (const id of ["default", "shared"]) {
      const world = await start(id);
      await world.volume(NAME, { pv: false });
      const { loop } = world.reconciler();
      await look(world, loop, 90);
      expect(there(world)).toBe(true);
      await world.on.close();
    }
  });

  test("is kept if a PersistentVolume of another driver names it, and if the configured id is another cluster's", async () => {
    const world = await start();
    const id = await world.volume(NAME, { pv: false });
    const remove = (volume: RdsVolume, signal: AbortSignal) => world.on.volumes.removeUnasked(volume, signal);
    const pv = { name: "pv", driver: "another.example", handle: id };
    for (const [volumes, uid] of [
      [[pv], CLUSTER],
      [[], "0f4c3d1e-5b7a-4c7e-9d55-2f1f6a1f9a11"],
    ] as const) {
      const unasked = { remove, clusterUid: async () => uid, names: { volumes: async () => volumes } };
      await look(world, world.reconciler({ unasked }).loop, 90);
      expect(there(world)).toBe(true);
    }
  });

  test("is kept by a PersistentVolume, by an attachment of any time, by a repeated CreateVolume, and by another name", async () => {
    for (const [name, prepare] of [
      [NAME, async (world: ReconcileLab) => world.cluster.addVolume(volumeIdFromName(NAME))],
      [
        NAME,
        async (world: ReconcileLab) => {
          await world.publish(volumeIdFromName(NAME), "node-a");
          await world.on.attachments.unpublish(volumeIdFromName(NAME), "node-a", world.on.signal);
        },
      ],
      [NAME, (world: ReconcileLab) => world.volume(NAME, { pv: false })],
      [
        // Attached once, says the item; its record was put back from a copy of before.
        NAME,
        (world: ReconcileLab) => {
          const handle = volumeIdFromName(NAME);
          const nqn = `nqn.2000-02.com.mikrotik:${handle}.1-0a1b2c3d`;
          return world.on.simulator.device.setDisk(handle, { "nvme-tcp-server-nqn": nqn });
        },
      ],
      // A person has filled it, over an export of any name, or on the RDS itself.
      ...[{ "nvme-tcp-server-nqn": "nqn.2026-01.org.example:fill" }, { "mount-filesystem": true }].map(
        (change) =>
          [
            NAME,
            (world: ReconcileLab) => world.on.simulator.device.setDisk(volumeIdFromName(NAME), change),
          ] as const,
      ),
      ["by-hand", async () => {}],
    ] as const) {
      const world = await start();
      const id = await world.volume(name, { pv: false });
      await prepare(world);
      const { loop } = world.reconciler();
      await look(world, loop, 90);
      expect(world.on.simulator.device.disk(id)).toBeDefined();
      await world.on.close();
    }
  });
});

test("an unfinished copy may be one that nobody asks for; a clone holds data", () => {
  const [name, claim] = ["pvc-11111111-2222-3333-4444-555555555555", { namespace: "vms", name: "disk" }];
  const made = { ...NEW_RECORD, name, claim, cluster: CLUSTER, source: "csi-1" };
  const line = { line: "01234567", isBusy: true };
  const copy = { done: 1n, total: 2n, sourceCreatedAt: 1, sourceEpoch: 3, ...line };
  const view = { persistentVolumes: [] } as unknown as ClusterView;
  const of = (record: VolumeRecord) =>
    looksUnasked({ id: volumeIdFromName(name), record, disk: FILE_DISK }, view);
  expect([of({ ...made, copy }), of(made)]).toEqual([true, false]);
});
