import { afterEach, describe, expect, test } from "bun:test";
import type { VolumeId } from "../domain/volume-id.ts";
import { type ReconcileLab, startReconcileLab } from "./reconcile.fixture.ts";

let lab: ReconcileLab | undefined;
afterEach(async () => {
  await lab?.on.close();
  lab = undefined;
});
const start = async (...args: Parameters<typeof startReconcileLab>): Promise<ReconcileLab> => {
  lab = await startReconcileLab(...args);
  return lab;
};
const nodesOf = async ({ on }: ReconcileLab, id: VolumeId | "") =>
  (await on.volumes.getVolume(id as VolumeId, on.signal)).nodes;
const diskOf = ({ on }: ReconcileLab, id: VolumeId) => {
  const disk = on.simulator.device.disks.find(({ slot }) => slot === id);
  if (disk === undefined) throw new Error(`no disk ${id}`);
  return disk;
};

describe("a volume that no PersistentVolume of this cluster names", () => {
  test("keeps attachment and export, although this cluster has neither its node nor a VolumeAttachment", async () => {
    const world = await start();
    const id = await world.volume("of-another-cluster", { pv: false });
    await world.publish(id, "node-a");
    world.pass(61);
    // A second cluster that was given the same id: it knows neither volume nor node.
    world.cluster.nodeNames.clear();
    const { loop } = world.reconciler();
    await loop.tick(world.on.signal);
    expect(await nodesOf(world, id)).toEqual(["node-a"]);
    expect(diskOf(world, id).exported).toBe(true);
    expect(await world.drift("attachment-without-va")).toBe(0);
    expect(await world.drift("attachment-without-pv")).toBe(1);
  });

  test("is told with the VolumeAttachment whose PersistentVolume is gone", async () => {
    const world = await start();
    const id = await world.volume("pv-deleted");
    await world.publish(id, "node-a");
    world.cluster.addAttachment(id, "node-a", { name: "csi-4711", pvName: "pv-deleted", deleting: true });
    world.cluster.pvs.splice(0);
    world.pass(61);
    const { loop } = world.reconciler();
    await loop.tick(world.on.signal);
    expect(diskOf(world, id).exported).toBe(true);
    expect(await world.drift("attachment-without-va")).toBe(0);
    expect(world.on.posted.map(({ message }) => message)).toEqual([
      "It is attached to node-a: VolumeAttachment csi-4711 is there, but its PersistentVolume pv-deleted is gone, so that Kubernetes cannot detach it; " +
        `make the PersistentVolume pv-deleted with volumeHandle ${id} and policy Retain again`,
    ]);
  });

  test("is recognised by the NQN that the VolumeAttachment was told, whatever the PersistentVolume was called", async () => {
    const world = await start();
    const id = await world.volume("pvc-1", { pv: false });
    await world.publish(id, "node-a");
    const { nqn } = diskOf(world, id);
    world.cluster.addAttachment(id, "node-a", {
      name: "csi-4711",
      pvName: "made-by-hand",
      metadata: { nqn },
    });
    world.pass(61);
    const { loop } = world.reconciler();
    await loop.tick(world.on.signal);
    expect(world.on.posted[0]?.message).toContain(
      "VolumeAttachment csi-4711 is there, but its PersistentVolume made-by-hand is gone",
    );
  });
});

describe("one volume that fails", () => {
  test("does not keep the others from being looked after; it is told, and again when it works", async () => {
    const world = await start();
    const ids = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.volume(name));
    const [broken = "", ...others] = ids.toSorted();
    for (const id of ids) await world.publish(id, "node-a");
    world.pass(61);
    world.cluster.nodeNames.delete("node-a");
    // The first in order cannot be changed: its item is locked, say.
    const { rds } = world.on;
    const write = rds.write.bind(rds);
    let isBroken = true;
    rds.write = async (volume, ...rest) => {
      if (isBroken && volume.id === broken) throw new Error("the item is locked");
      return write(volume, ...rest);
    };
    const { loop, log } = world.reconciler();
    for (let look = 0; look < 2; look++) await loop.tick(world.on.signal);
    for (const id of others) expect(await nodesOf(world, id)).toEqual([]);
    expect(await nodesOf(world, broken)).toEqual(["node-a"]);
    expect(await world.drift("not-reconciled")).toBe(1);
    const told = () => log.filter(({ message }) => message.startsWith(`reconcile of volume ${broken}`));
    expect(told().map(({ level, message }) => [level, message])).toEqual([
      ["warn", `reconcile of volume ${broken} failed, it is repeated`],
      ["debug", `reconcile of volume ${broken} failed, it is repeated`],
    ]);
    isBroken = false;
    await loop.tick(world.on.signal);
    expect(await nodesOf(world, broken)).toEqual([]);
    expect(await world.drift("not-reconciled")).toBe(0);
    expect(told().at(-1)?.message).toBe(`reconcile of volume ${broken} works again`);
  });

  test("has a limited time, also when it does not heed its signal", async () => {
    const world = await start();
    const ids = [await world.volume("a"), await world.volume("b")];
    const [stuck = "", other = ""] = ids.toSorted();
    for (const id of ids) await world.publish(id, "node-a");
    world.pass(61);
    world.cluster.nodeNames.delete("node-a");
    const { rds } = world.on;
    const write = rds.write.bind(rds);
    rds.write = (volume, ...rest) => (volume.id === stuck ? new Promise(() => {}) : write(volume, ...rest));
    const { loop } = world.reconciler({ limits: { tickMs: 50_000, volumeMs: 4_000 } });
    await loop.tick(world.on.signal);
    expect(await nodesOf(world, other)).toEqual([]);
    expect(await world.drift("not-reconciled")).toBe(1);
  });

  test("a look that runs out of time is gone on with by the next, and what it did not reach stays as it was seen", async () => {
    const world = await start();
    const ids = [];
    for (const name of ["a", "b", "c"]) ids.push(await world.volume(name));
    const [first = "", second = "", third = ""] = ids.toSorted();
    const visited: string[] = [];
    let stuck = true;
    const { attachments } = world.on;
    const tidy = attachments.tidy.bind(attachments);
    attachments.tidy = async (volume, signal) => {
      visited.push(volume.id);
      if (volume.id === first && stuck) await new Promise(() => {});
      return tidy(volume, signal);
    };
    const { loop, log } = world.reconciler({ limits: { tickMs: 400, volumeMs: 20_000 } });
    await loop.tick(world.on.signal);
    expect(visited).toEqual([first]);
    expect(log.find(({ message }) => message.startsWith("reconcile ran out of time"))?.fields).toEqual({
      left: 2,
    });
    await loop.tick(world.on.signal);
    expect(visited).toEqual([first, second, third, first]);
    stuck = false;
    await loop.tick(world.on.signal);
    expect(visited.slice(4).toSorted()).toEqual([first, second, third]);
    expect(await world.drift("not-reconciled")).toBe(0);
  });

  test("an API server that does not answer does not keep deadlines and exports from being looked after", async () => {
    const world = await start();
    const id = await world.volume("a");
    await world.publish(id, "node-a");
    await world.on.simulator.device.setDisk(id, { "nvme-tcp-export": false });
    world.cluster.up = false;
    const { loop } = world.reconciler();
    await expect(loop.tick(world.on.signal)).rejects.toThrow("Kubernetes");
    expect(world.on.posted.map(({ message }) => message)).toEqual([
      "It is attached according to its record, but not exported as it should be",
    ]);
    // Nothing is known of the other kinds: no counts, not even zeros.
    expect(await world.drift("attachment-without-va")).toBeUndefined();
  });

  test("a node that cannot be asked for is asked for once in a look", async () => {
    const world = await start();
    const ids = [await world.volume("a"), await world.volume("b")];
    for (const id of ids) await world.publish(id, "node-a");
    world.pass(61);
    let asked = 0;
    world.cluster.nodeExists = async () => {
      asked += 1;
      throw new Error("no answer");
    };
    await world.reconciler().loop.tick(world.on.signal);
    expect(asked).toBe(1);
    expect(await world.drift("not-reconciled")).toBe(2);
    for (const id of ids) expect(await nodesOf(world, id)).toEqual(["node-a"]);
  });
});

describe("an export that a reboot of the RDS lost", () => {
  async function lost(over: { attached?: boolean; deleting?: boolean } = {}) {
    const world = await start();
    const id = await world.volume("a");
    await world.publish(id, "node-a");
    world.cluster.addAttachment(id, "node-a", over);
    world.pass(61);
    const before = structuredClone(diskOf(world, id));
    await world.on.simulator.device.setDisk(id, { "nvme-tcp-export": false });
    return { world, id, before };
  }

  test("is switched on again under the same NQN, where a VolumeAttachment wants it", async () => {
    const { world, id, before } = await lost();
    await world.reconciler().loop.tick(world.on.signal);
    const { exported, nqn, port, comment } = diskOf(world, id);
    expect({ exported, nqn, port, comment }).toEqual({
      exported: true,
      nqn: before.nqn,
      port: before.port,
      comment: before.comment,
    });
    expect(world.on.posted.map(({ reason }) => reason)).toEqual(["ExportRestored"]);
    expect(await world.drift("not-exported")).toBe(0);
  });

  for (const over of [{ attached: false }, { deleting: true }]) {
    test(`stays off where the VolumeAttachment is ${JSON.stringify(over)}`, async () => {
      const { world, id } = await lost(over);
      await world.reconciler().loop.tick(world.on.signal);
      expect(diskOf(world, id).exported).toBe(false);
      expect(await world.drift("not-exported")).toBe(1);
    });
  }

  test("stays off where no VolumeAttachment wants it on a node of the record, and without an orchestrator", async () => {
    const { world, id } = await lost();
    world.cluster.attachments.splice(0);
    world.cluster.addAttachment(id, "node-b");
    await world.reconciler().loop.tick(world.on.signal);
    expect(diskOf(world, id).exported).toBe(false);
    await world.reconciler({ cluster: undefined }).loop.tick(world.on.signal);
    expect(diskOf(world, id).exported).toBe(false);
  });

  for (const [what, change] of [
    ["NQN", { "nvme-tcp-server-nqn": "nqn.2000-02.com.mikrotik:other" }],
    ["port", { "nvme-tcp-server-port": 4421n }],
  ] as const) {
    test(`stays off where the ${what} of the item is not that of the record`, async () => {
      const { world, id } = await lost();
      await world.on.simulator.device.setDisk(id, change);
      await world.reconciler().loop.tick(world.on.signal);
      expect(diskOf(world, id).exported).toBe(false);
      expect(await world.drift("not-exported")).toBe(1);
    });
  }

  test("stays off when the node is detached between look and change", async () => {
    const { world, id } = await lost();
    const { rds, attachments, signal } = world.on;
    const write = rds.write.bind(rds);
    let raced = false;
    rds.write = async (...args) => {
      if (!raced) {
        raced = true;
        await world.on.controller().attachments.unpublish(id, "node-a", signal);
      }
      return write(...args);
    };
    const { volumes } = await rds.list(signal);
    const [volume] = volumes;
    if (volume === undefined) throw new Error("no volume");
    expect(await attachments.restoreExport(volume, new Set(["node-a"]), signal)).toBe(false);
    expect(raced).toBe(true);
    expect(diskOf(world, id).exported).toBe(false);
    expect(await nodesOf(world, id)).toEqual([]);
  });
});
