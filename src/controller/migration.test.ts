import { describe, expect, test } from "bun:test";
import type { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { outcome, reconcilerOf } from "../../test/support/own-stack.ts";
import { BLOCK, type ControllerStack } from "../../test/support/rds-stack.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import {
  clock,
  ID,
  nodesOf,
  publish,
  reasons,
  results,
  time,
  unpublish,
  useMigrations,
  value,
} from "./migration.fixture.ts";

const start = useMigrations();
const reconcile = (on: ControllerStack, cluster?: TestCluster) =>
  reconcilerOf(on, { clock, cluster }).tick(AbortSignal.timeout(20_000));

describe("RWX-03, SAFETY-01: two nodes, for a live migration only", () => {
  test("source and target of one machine: both attached under one NQN, then the source leaves", async () => {
    const { on, cluster } = await start();
    const source = await publish(on, "node-a");
    const target = await publish(on, "node-b");
    expect(target).toEqual({ ...source, hostNqn: hostIdentity("test", "node-b").hostNqn });
    expect(await nodesOf(on)).toEqual(["node-a", "node-b"]);
    expect(await value(on, "rds_csi_migration_active_migrations")).toBe(1);
    expect(await value(on, "rds_csi_attachment_dual_attached_volumes")).toBe(1);
    time.seconds += 42;
    await unpublish(on, "node-a");
    expect(await nodesOf(on)).toEqual(["node-b"]);
    expect(await results(on)).toEqual({ success: 1, failed: 0, timeout: 0 });
    expect(await value(on, "rds_csi_migration_active_migrations")).toBe(0);
    expect(on.posted.map(({ reason, message, type }) => `${type} ${reason}: ${message}`)).toEqual([
      "Normal MigrationStarted: Live migration from node-a to node-b: both nodes are attached, 300 s are allowed",
      "Normal MigrationCompleted: Live migration completed after 42 s; the volume is on node-b",
    ]);
    expect(await on.registry.metrics()).toContain('rds_csi_migration_duration_seconds_bucket{le="60"} 1');
    // The next migration goes back.
    cluster.moveMachine("vm1", "node-b");
    await publish(on, "node-a");
    expect(await nodesOf(on)).toEqual(["node-b", "node-a"]);
  });

  test("a third node is refused, naming both", async () => {
    const { on, cluster } = await start();
    cluster.addLauncher("launcher-third", "vm1", "node-c");
    await publish(on, "node-a");
    await publish(on, "node-b");
    expect(await outcome(publish(on, "node-c"))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is attached to two nodes already: node-a and node-b`,
    );
    expect(await value(on, "rds_csi_attachment_refusals_total", { cause: "third-node" })).toBe(1);
    expect(reasons(on)).toEqual(["MigrationStarted"]);
    time.seconds += 60;
    await outcome(publish(on, "node-c"));
    expect(reasons(on)).toEqual(["MigrationStarted", "AttachmentConflict"]);
  });

  test("the target leaves: the migration failed, the source keeps the volume under the same NQN", async () => {
    const { on } = await start();
    const source = await publish(on, "node-a");
    await publish(on, "node-b");
    await unpublish(on, "node-b");
    expect(await publish(on, "node-a")).toEqual(source);
    expect(await results(on)).toEqual({ success: 0, failed: 1, timeout: 0 });
    expect(on.posted.at(-1)).toMatchObject({
      type: "Warning",
      reason: "MigrationFailed",
      message: "Live migration ended without success after 0 s; the volume is on node-a",
    });
  });
});

describe("both nodes leave", () => {
  test("at once, as with an empty node id: not exported, counted once as failed, and free for any node", async () => {
    const { on } = await start();
    const source = await publish(on, "node-a");
    await publish(on, "node-b");
    await unpublish(on, "");
    expect(await nodesOf(on)).toEqual([]);
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    expect(on.simulator.device.connectHost(source.nqn, source.hostNqn)).toBe(false);
    await unpublish(on, "");
    expect(await results(on)).toEqual({ success: 0, failed: 1, timeout: 0 });
    expect((await publish(on, "node-c", BLOCK)).nqn).not.toBe(source.nqn);
  });

  test("one after the other, the target first: the migration failed once, then the volume is free", async () => {
    const { on } = await start();
    await publish(on, "node-a");
    await publish(on, "node-b");
    for (const node of ["node-b", "node-a", "node-b", "node-a"]) await unpublish(on, node);
    expect(await nodesOf(on)).toEqual([]);
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    expect(await results(on)).toEqual({ success: 0, failed: 1, timeout: 0 });
    expect(reasons(on)).toEqual(["MigrationStarted", "MigrationFailed"]);
  });
});

describe("SAFETY-02: any other second attach fails at once", () => {
  test("a second machine, a plain pod, no pod at all: named, counted, told", async () => {
    for (const [change, reason] of [
      [
        (cluster: TestCluster) => cluster.addLauncher("other", "vm2", "node-b"),
        "pod vms/launcher-source, pod vms/launcher-target, pod vms/other belong to different virtual machines",
      ],
      [
        (cluster: TestCluster) => cluster.addPod("importer", "node-b"),
        "pod vms/importer belongs to no virtual machine",
      ],
      [(cluster: TestCluster) => cluster.pods.splice(0), "no running pod uses the claim"],
      [(cluster: TestCluster) => cluster.pvs.splice(0), "no PersistentVolume with a claim has this handle"],
    ] as const) {
      const { on, cluster } = await start();
      await publish(on, "node-a");
      change(cluster);
      expect(await outcome(publish(on, "node-b"))).toBe(
        `FAILED_PRECONDITION: volume ${ID} is attached to node node-a; a second node is refused, as no live migration is proven: ${reason}`,
      );
      expect(await nodesOf(on)).toEqual(["node-a"]);
      expect(await value(on, "rds_csi_attachment_refusals_total", { cause: "not-proven" })).toBe(1);
      expect(on.posted).toEqual([]);
      time.seconds += 60;
      await outcome(publish(on, "node-b"));
      expect(on.posted.at(-1)).toMatchObject({ type: "Warning", reason: "AttachmentConflict" });
      await on.close();
    }
  });

  test("a completed importer pod on another node does not count", async () => {
    const { on, cluster } = await start();
    cluster.addPod("importer", "node-c", "disk", { phase: "Succeeded" });
    await publish(on, "node-a");
    expect(await outcome(publish(on, "node-b"))).toBe("OK");
  });

  test("hot-plugged volumes: the attachment pods belong to their launcher's machine", async () => {
    const { on, cluster } = await start();
    cluster.pods.splice(0);
    cluster.addLauncher("launcher-source", "vm1", "node-a", "root-disk");
    cluster.addLauncher("launcher-target", "vm1", "node-b", "root-disk");
    for (const side of ["source", "target"]) {
      cluster.addPod(`hp-${side}`, side === "source" ? "node-a" : "node-b", "disk", {
        labels: { "kubevirt.io": "hotplug-disk" },
        owners: [
          {
            apiVersion: "v1",
            kind: "Pod",
            name: `launcher-${side}`,
            uid: `uid-launcher-${side}`,
            controller: true,
          },
        ],
      });
    }
    await publish(on, "node-a");
    expect(await outcome(publish(on, "node-b"))).toBe("OK");
    await unpublish(on, "node-b");
    // A pod of the same name, made anew, is not the owner.
    const owner = cluster.pods.findIndex((pod) => pod.name === "launcher-target");
    cluster.pods.splice(owner, 1);
    cluster.addLauncher("launcher-target", "vm2", "node-b", "root-disk");
    Object.assign(cluster.pods.at(-1) ?? {}, { uid: "uid-made-anew" });
    expect(await outcome(publish(on, "node-b"))).toContain("pod vms/hp-target belongs to no virtual machine");
  });

  test("Kubernetes unreachable: UNAVAILABLE, and nothing is attached", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    cluster.up = false;
    expect(await outcome(publish(on, "node-b"))).toBe(
      `UNAVAILABLE: whether volume ${ID} is in a live migration could not be found out: Kubernetes could not be asked to list pods: connection refused`,
    );
    expect(await nodesOf(on)).toEqual(["node-a"]);
    // The node that has it is served all the same.
    expect(await outcome(publish(on, "node-a"))).toBe("OK");
  });

  test("migrationGuard warn lets it pass, off does not even ask, and single-node volumes have no window at all", async () => {
    const warn = await start({ parameters: { migrationGuard: "warn" } });
    warn.cluster.addPod("stranger", "node-b");
    await publish(warn.on, "node-a");
    expect(await outcome(publish(warn.on, "node-b"))).toBe("OK");
    expect(warn.on.posted.map(({ reason, message }) => `${reason}: ${message}`)).toContain(
      "AttachmentConflict: Node node-b was attached as second node although no live migration is proven (migrationGuard warn): pod vms/stranger belongs to no virtual machine",
    );
    await warn.on.close();
    const off = await start({ parameters: { migrationGuard: "off" } });
    await publish(off.on, "node-a");
    off.cluster.up = false;
    expect(await outcome(publish(off.on, "node-b"))).toBe("OK");
    await off.on.close();
    const { on } = await start();
    await publish(on, "node-a", BLOCK);
    expect(await outcome(publish(on, "node-b", BLOCK))).toStartWith("FAILED_PRECONDITION: ");
    await unpublish(on, "node-a");
    // No grace period: the moment after a detach is as strict as any other.
    await publish(on, "node-c", BLOCK);
    expect(await outcome(publish(on, "node-b", BLOCK))).toStartWith("FAILED_PRECONDITION: ");
  });
});

describe("SAFETY-03: attachments, start and timeout survive restarts", () => {
  test("a new controller on another machine continues with the same answers, remaining time and gauge", async () => {
    const { on } = await start({ parameters: { migrationTimeoutSeconds: "600" } });
    await publish(on, "node-a");
    const target = await publish(on, "node-b");
    await on.transport.close();
    time.seconds += 599;
    const next = on.controller();
    expect(await value(next, "rds_csi_migration_active_migrations")).toBe(1);
    expect(await publish(next, "node-b")).toEqual(target);
    await reconcile(next);
    expect(await results(next)).toEqual({ success: 0, failed: 0, timeout: 0 });
    time.seconds += 2;
    await reconcile(next);
    expect(await results(next)).toEqual({ success: 0, failed: 0, timeout: 1 });
    await unpublish(next, "node-a");
    expect(await value(next, "rds_csi_migration_active_migrations")).toBe(0);
    const observed = await next.registry.getSingleMetric("rds_csi_migration_duration_seconds")?.get();
    expect(observed?.values.find((each) => each.labels.le === 1800)?.value).toBe(1);
  });

  test("a lost reply loses no outcome, and two controllers report none twice", async () => {
    for (const fault of ["cutAfter", "cutBefore"] as const) {
      const { on } = await start();
      const other = on.controller();
      await publish(on, "node-a");
      await publish(on, "node-b");
      on.simulator.faults.add({ kind: fault }, { line: /\/disk\/set/ });
      expect(await outcome(unpublish(on, "node-a"))).toStartWith("UNAVAILABLE: ");
      await reconcile(other);
      await unpublish(on, "node-a");
      await reconcile(other);
      expect({ fault, ...(await results(on)) }).toEqual({ fault, success: 1, failed: 0, timeout: 0 });
      expect(await results(other)).toEqual({ success: 0, failed: 0, timeout: 0 });
      await on.close();
    }
  });

  test("an outcome that a refused call finds is reported once and leaves the record", async () => {
    const { on, cluster } = await start();
    const other = on.controller();
    await publish(on, "node-a");
    await publish(on, "node-b");
    on.simulator.faults.add({ kind: "cutAfter" }, { line: /\/disk\/set/ });
    expect(await outcome(unpublish(on, "node-a"))).toStartWith("UNAVAILABLE: ");
    expect(on.simulator.device.disks[0]?.comment).toContain(";x=");
    cluster.addLauncher("launcher-other", "vm2", "node-c");
    expect(await outcome(publish(on, "node-c"))).toStartWith("FAILED_PRECONDITION: ");
    await on.attachments.settled();
    expect(on.simulator.device.disks[0]?.comment).not.toContain(";x=");
    time.seconds += 121;
    await reconcile(other);
    expect(await results(on)).toEqual({ success: 1, failed: 0, timeout: 0 });
    expect(await results(other)).toEqual({ success: 0, failed: 0, timeout: 0 });
  });

  test("a controller that dies right after the change: its successor reports the outcome", async () => {
    const { on } = await start();
    await publish(on, "node-a");
    await publish(on, "node-b");
    on.simulator.faults.add({ kind: "cutAfter" }, { line: /\/disk\/set/ });
    await outcome(unpublish(on, "node-b"));
    await on.transport.close();
    const next = on.controller();
    await unpublish(next, "node-b");
    await reconcile(next);
    expect(await results(next)).toEqual({ success: 0, failed: 0, timeout: 0 });
    time.seconds += 121;
    await reconcile(next);
    await next.attachments.settled();
    expect(await results(next)).toEqual({ success: 0, failed: 1, timeout: 0 });
    await reconcile(next);
    expect(on.simulator.device.disks[0]?.comment).not.toContain(";x=");
    time.seconds += 500;
    await reconcile(next);
    expect(await results(next)).toEqual({ success: 0, failed: 1, timeout: 0 });
  });
});

describe("the deadline", () => {
  test("is told and counted once, detaches nobody, refuses others with elapsed and allowed time, and ends clean", async () => {
    const { on, cluster } = await start();
    cluster.addLauncher("launcher-third", "vm1", "node-c");
    await publish(on, "node-a");
    await publish(on, "node-b");
    expect(await reconcile(on)).toBe(60_000);
    time.seconds += 290;
    expect(await reconcile(on)).toBe(11_000);
    expect(await results(on)).toMatchObject({ timeout: 0 });
    time.seconds += 11;
    for (let look = 0; look < 3; look++) await reconcile(on);
    expect(await results(on)).toEqual({ success: 0, failed: 0, timeout: 1 });
    expect(reasons(on)).toEqual(["MigrationStarted", "MigrationFailed"]);
    expect(on.posted.at(-1)?.message).toBe(
      "Reason timeout: the live migration has taken longer than 300 s; node-a and node-b keep the volume until Kubernetes detaches one",
    );
    expect(await nodesOf(on)).toEqual(["node-a", "node-b"]);
    expect(await value(on, "rds_csi_migration_active_migrations")).toBe(1);
    expect(await outcome(publish(on, "node-c"))).toBe(
      `FAILED_PRECONDITION: the migration of volume ${ID} has taken 301 s, 300 s are allowed; no further node is attached`,
    );
    await unpublish(on, "node-a");
    expect(await results(on)).toEqual({ success: 0, failed: 0, timeout: 1 });
    cluster.moveMachine("vm1", "node-b");
    expect(await outcome(publish(on, "node-c"))).toBe("OK");
  });

  test("auto takes KubeVirt's own time for the machine's memory, and the start of its target", async () => {
    const GIB64 = 64n * 1024n ** 3n;
    const config = { completionTimeoutPerGiB: 20, allowPostCopy: false, allowWorkloadDisruption: false };
    for (const [prepare, allowed] of [
      [(cluster: TestCluster) => cluster.addMachine("vm1", GIB64), 11_250],
      [(_: TestCluster) => {}, 3_600],
      [(cluster: TestCluster) => cluster.forbidden.add("virtualmachineinstances"), 3_600],
      [
        (cluster: TestCluster) => {
          cluster.addMachine("vm1", GIB64);
          cluster.config = config;
        },
        2_280,
      ],
      [
        (cluster: TestCluster) => {
          cluster.config = { ...config, completionTimeoutPerGiB: 0 };
        },
        0,
      ],
    ] as const) {
      const { on, cluster } = await start({ parameters: { migrationTimeoutSeconds: "auto" } });
      prepare(cluster);
      await publish(on, "node-a");
      await publish(on, "node-b");
      expect(on.simulator.device.disks[0]?.comment).toContain(`;m=${1_700_000_000},${allowed}`);
      expect(on.posted[0]?.message).toContain(
        allowed === 0 ? "KubeVirt sets no time limit" : `${allowed} s are allowed`,
      );
      await on.close();
    }
  });
});

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

const DAY = 86_400;

describe("the wall clock jumps", () => {
  test("forward, in the middle of a migration: told as overdue, but nobody is detached, and nothing is called stale", async () => {
    const { on, cluster } = await start();
    for (const node of ["node-a", "node-b"]) cluster.addAttachment(ID, node);
    const source = await publish(on, "node-a");
    const target = await publish(on, "node-b");
    time.seconds += DAY;
    for (let look = 0; look < 2; look++) await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-a", "node-b"]);
    expect(await publish(on, "node-a")).toEqual(source);
    expect(await publish(on, "node-b")).toEqual(target);
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
    expect(reasons(on)).toEqual(["MigrationStarted", "MigrationFailed"]);
    expect(await value(on, "rds_csi_attachment_drift", { kind: "attachment-without-va" })).toBe(0);
    // And back again: no second outcome, no negative duration.
    time.seconds -= DAY;
    await reconcile(on, cluster);
    await unpublish(on, "node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual(["node-b"]);
    expect(await results(on)).toEqual({ success: 0, failed: 0, timeout: 1 });
    expect(await value(on, "rds_csi_migration_active_migrations")).toBe(0);
  });

  test("back, in the middle of a migration: its window ends all the same, measured anew, and is told once", async () => {
    const { on, cluster } = await start();
    for (const node of ["node-a", "node-b"]) cluster.addAttachment(ID, node);
    await publish(on, "node-a");
    await publish(on, "node-b");
    time.seconds -= DAY;
    // Never later than the usual look.
    expect(await reconcile(on, cluster)).toBeLessThanOrEqual(60_000);
    expect(await reconcile(on, cluster)).toBe(60_000);
    time.seconds += 301;
    await reconcile(on, cluster);
    await reconcile(on, cluster);
    expect(reasons(on)).toEqual(["MigrationStarted", "MigrationFailed"]);
    expect(await nodesOf(on)).toEqual(["node-a", "node-b"]);
    await unpublish(on, "node-a");
    expect(await results(on)).toEqual({ success: 0, failed: 0, timeout: 1 });
    expect(await on.registry.metrics()).toContain("rds_csi_migration_duration_seconds_sum 301");
  });

  test("back: what is provably stale is healed, not taken for young until the clock has caught up", async () => {
    const { on, cluster } = await start();
    await publish(on, "node-a");
    time.seconds -= DAY;
    cluster.nodeNames.delete("node-a");
    await reconcile(on, cluster);
    expect(await nodesOf(on)).toEqual([]);
  });

  test("back: an outcome whose writer died is reported, not kept until the clock has caught up", async () => {
    const { on } = await start();
    await publish(on, "node-a");
    await publish(on, "node-b");
    on.simulator.faults.add({ kind: "cutAfter" }, { line: /\/disk\/set/ });
    await outcome(unpublish(on, "node-a"));
    await on.transport.close();
    const next = on.controller();
    time.seconds -= DAY;
    await reconcile(next);
    await next.attachments.settled();
    expect(await results(next)).toEqual({ success: 1, failed: 0, timeout: 0 });
    await reconcile(next);
    expect(on.simulator.device.disks[0]?.comment).not.toContain(";x=");
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
