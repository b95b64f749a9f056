import { describe, expect, test } from "bun:test";
import type { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { outcome } from "../../test/support/own-stack.ts";
import { BLOCK } from "../../test/support/rds-stack.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import {
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
