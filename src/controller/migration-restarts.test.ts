import { describe, expect, test } from "bun:test";
import type { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { outcome } from "../../test/support/own-stack.ts";
import {
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
