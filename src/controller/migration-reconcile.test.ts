import { describe, expect, test } from "bun:test";
import { outcome, reconcilerOf } from "../../test/support/own-stack.ts";
import { BLOCK } from "../../test/support/rds-stack.ts";
import {
  clock,
  ID,
  nodesOf,
  publish,
  reasons,
  reconcile,
  results,
  time,
  unpublish,
  useMigrations,
  value,
} from "./migration.fixture.ts";

const start = useMigrations();

describe("reconcile", () => {
  test("heals what is provably stale: node and VolumeAttachment both gone", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    time.seconds += 61;
    cluster.addAttachment(ID, "node-a");
    cluster.nodeNames.delete("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-a"]);
    cluster.attachments.splice(0);
    cluster.nodeNames.add("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-a"]);
    expect(await value(on, "rds_csi_attachment_drift", { kind: "attachment-without-va" })).toBe(1);
    cluster.nodeNames.delete("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual([]);
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    expect(reasons(on).slice(-2)).toEqual(["StaleAttachmentCleared", "VolumeFenced"]);
    await reconcile(on, cluster);
    expect(await value(on, "rds_csi_attachment_drift", { kind: "attachment-without-va" })).toBe(0);
  });

  test("the second node stays when the first one's node is gone", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    await publish(on, "node-b");
    time.seconds += 61;
    cluster.addAttachment(ID, "node-b");
    cluster.nodeNames.delete("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-b"]);
    await on.attachments.settled();
    expect(await results(on)).toEqual({ success: 1, failed: 0, timeout: 0 });
  });

  test("reports each drift once, as event and gauge, and heals nothing else", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    time.seconds += 61;
    cluster.addAttachment(ID, "node-b");
    cluster.addAttachment(ID, "node-c", { attached: false });
    await on.simulator.device.setDisk(ID, { "nvme-tcp-export": false });
    const reconciler = reconcilerOf(on, { clock, cluster });
    for (let look = 0; look < 3; look++) await reconciler.tick(on.signal);
    expect(on.posted.map(({ message }) => message)).toEqual([
      "It is attached according to its record, but not exported as it should be",
      "It is attached to node-a, which has no VolumeAttachment for it",
      "Node node-b has a VolumeAttachment, but the volume is not attached to it according to the record",
    ]);
    for (const kind of ["not-exported", "attachment-without-va", "va-without-attachment"]) {
      expect(await value(on, "rds_csi_attachment_drift", { kind })).toBe(1);
    }
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    expect(await nodesOf(on)).toEqual(["node-a"]);
  });

  test("an export that was switched off by hand is restored when the second node comes", async () => {
    const { on } = await start();
    const source = await publish(on, "node-a");
    await on.simulator.device.setDisk(ID, { "nvme-tcp-export": false });
    on.commandsSince();
    expect((await publish(on, "node-b")).nqn).toBe(source.nqn);
    expect(on.commandsSince()).toHaveLength(2);
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
  });

  test("a young attachment is not judged by a view of the cluster that may be older", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    cluster.nodeNames.delete("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-a"]);
    expect(await value(on, "rds_csi_attachment_drift", { kind: "attachment-without-va" })).toBe(0);
  });
});

describe("fencing: a node that lost its attachment cannot write", () => {
  test("allowed hosts do not lock the two nodes of a migration out, and hold again afterwards", async () => {
    for (const allowHostName of ["exact", "comma-list"] as const) {
      const { on } = await start({ fencing: "epoch+hosts", switches: { allowHostName } });
      const { device } = on.simulator;
      const source = await publish(on, "node-a");
      const target = await publish(on, "node-b");
      for (const side of [source, target]) expect(device.connectHost(side.nqn, side.hostNqn)).toBe(true);
      await unpublish(on, "node-a");
      device.disconnectHost(source.nqn, source.hostNqn);
      expect(device.connectHost(source.nqn, source.hostNqn)).toBe(false);
      expect(device.connectHost(target.nqn, target.hostNqn)).toBe(true);
      await on.close();
    }
  });

  test("a node that is NotReady keeps what it has; out-of-service detaches it, and on its return it is like any other", async () => {
    const { on, cluster } = await start();
    const { device } = on.simulator;
    // Not ready is not gone: the Node object is there, as with every node that is only silent.
    const silent = await publish(on, "node-a", BLOCK);
    expect(await outcome(publish(on, "node-b", BLOCK))).toStartWith("FAILED_PRECONDITION: ");
    time.seconds += 600;
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-a"]);
    // The taint: Kubernetes deletes pods and VolumeAttachment, and detaches without NodeUnstageVolume; twice does no harm.
    await unpublish(on, "node-a");
    await unpublish(on, "node-a");
    expect(device.connectHost(silent.nqn, silent.hostNqn)).toBe(false);
    const taken = await publish(on, "node-b", BLOCK);
    // It is back, first without its pods, then with them.
    expect(device.connectHost(silent.nqn, silent.hostNqn)).toBe(false);
    expect(await outcome(publish(on, "node-a", BLOCK))).toStartWith("FAILED_PRECONDITION: ");
    expect(await publish(on, "node-b", BLOCK)).toEqual(taken);
    await unpublish(on, "node-b");
    const again = await publish(on, "node-a", BLOCK);
    expect(new Set([silent.nqn, taken.nqn, again.nqn]).size).toBe(3);
    expect(device.connectHost(again.nqn, again.hostNqn)).toBe(true);
  });

  test("force detach, takeover by another, return of the dead node", async () => {
    const { on, cluster } = await start({ fencing: "epoch+hosts", profile: "current" });
    const { device } = on.simulator;
    const dead = await publish(on, "node-a", BLOCK);
    expect(device.connectHost(dead.nqn, dead.hostNqn)).toBe(true);
    await unpublish(on, "node-a");
    expect(device.connectHost(dead.nqn, dead.hostNqn)).toBe(false);
    const taken = await publish(on, "node-b", BLOCK);
    expect(taken.nqn).not.toBe(dead.nqn);
    expect(device.connectHost(dead.nqn, dead.hostNqn)).toBe(false);
    expect(device.connectHost(taken.nqn, dead.hostNqn)).toBe(false);
    expect(device.connectHost(taken.nqn, taken.hostNqn)).toBe(true);
    cluster.nodeNames.delete("node-b");
    const again = await publish(on, "node-c", BLOCK);
    expect(again.nqn).not.toBe(taken.nqn);
    expect(device.connectHost(taken.nqn, taken.hostNqn)).toBe(false);
    expect(reasons(on)).toEqual(["VolumeFenced"]);
    expect(await nodesOf(on)).toEqual(["node-c"]);
  });
});
