import { afterEach, describe, expect, test } from "bun:test";
import { type LogLine, recordingLogger } from "../../test/support/kubernetes/world.ts";
import type { MigrationConfigView, MigrationStateView, VmiView } from "../kubernetes/port.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { START, Stage } from "./migration.fixture.ts";
import { limitAtStart } from "./migration-limit.ts";

const GIB8 = 8n << 30n;
/** KubeVirt's default for 8Gi, and the start of the target. */
const DEFAULT_8GI = 9 * 150 + 900;

let stage: Stage;
afterEach(() => stage.on.close());

const config = (over: Partial<MigrationConfigView> = {}): MigrationConfigView => ({
  completionTimeoutPerGiB: undefined,
  allowPostCopy: false,
  allowWorkloadDisruption: false,
  ...over,
});
const state = (over: Partial<MigrationStateView>): MigrationStateView => ({
  targetNode: "node-b",
  ended: undefined,
  mode: undefined,
  configuration: undefined,
  ...over,
});
const machine = (over: Partial<VmiView> = {}) => stage.cluster.addMachine("vm1", GIB8, over);

/** A migration that began at the start, with a machine of 8Gi. */
async function migrating(prepare: () => void = () => {}): Promise<Stage> {
  stage = await Stage.start({ parameters: { migrationTimeoutSeconds: "auto" } });
  machine();
  prepare();
  await stage.publish("node-a");
  await stage.publish("node-b");
  return stage;
}
const limitIs = (seconds: number) => expect(stage.migration()).toBe(`${START},${seconds}`);
const timeouts = async () => /_total\{result="timeout"\} (\d+)/.exec(await stage.on.registry.metrics())?.[1];

describe("auto at the second attachment", () => {
  test("believes neither a migration to another node nor one that has ended: that was the previous one", async () => {
    const slow = config({ completionTimeoutPerGiB: 1_200 });
    for (const previous of [
      state({ targetNode: "node-c", configuration: slow }),
      state({ ended: (START - 60) * 1_000, configuration: slow }),
      state({ targetNode: undefined, configuration: slow }),
      state({}),
      undefined,
    ]) {
      await migrating(() => machine({ migrationState: previous }));
      limitIs(DEFAULT_8GI);
      await stage.on.close();
    }
    // A disk that is hot-plugged into a migration: KubeVirt has written what it applies.
    await migrating(() => machine({ migrationState: state({ configuration: slow }) }));
    limitIs(9 * 1_200 + 900);
  });

  test("takes the cluster's settings, if they may be read", async () => {
    await migrating(() => {
      stage.cluster.config = config({ completionTimeoutPerGiB: 20 });
    });
    limitIs(9 * 20 + 900);
    await stage.on.close();
    await migrating(() => {
      stage.cluster.config = config({ completionTimeoutPerGiB: 20 });
      stage.cluster.forbidden.add("kubevirts");
    });
    limitIs(DEFAULT_8GI);
  });

  test("counts what a storage migration of other disks copies", async () => {
    await migrating(() => machine({ migratedVolumes: [{ claims: ["x", "y"], bytes: 10_000_000_000n }] }));
    limitIs(19 * 150 + 900);
  });

  test("a machine that may not be read, or has no memory, refuses no proven migration: an hour, and the log says so", async () => {
    for (const prepare of [
      () => stage.cluster.forbidden.add("virtualmachineinstances"),
      () => stage.cluster.addMachine("vm1", undefined),
    ]) {
      await migrating(prepare);
      limitIs(3_600);
      expect(await stage.nodes()).toEqual(["node-a", "node-b"]);
      await stage.on.close();
    }
    const lines: LogLine[] = [];
    const reason = "virtual machine vms/vm1 may not be read";
    const seconds = await limitAtStart(
      { allowedSeconds: async () => ({ kind: "unknown", reason, passing: false }) },
      { id: "csi-1" } as unknown as RdsVolume,
      { target: "node-b", since: START },
      recordingLogger(lines),
      new AbortController().signal,
    );
    expect(seconds).toBe(3_600);
    expect(lines).toEqual([
      {
        level: "warn",
        message: "KubeVirt's time limit for a migration is not known, another one is assumed",
        fields: { volume: "csi-1", node: "node-b", seconds, reason },
      },
    ]);
  });
});

describe("auto before a migration is called overdue", () => {
  test("takes what KubeVirt has applied since: not reported, and the new time holds", async () => {
    await migrating();
    limitIs(DEFAULT_8GI);
    // The target pod is ready: KubeVirt writes what the MigrationPolicy and its settings give together.
    machine({ migrationState: state({ configuration: config({ completionTimeoutPerGiB: 300 }) }) });
    stage.at(DEFAULT_8GI + 1);
    stage.cluster.addLauncher("launcher-third", "vm1", "node-c");
    expect(await stage.answer("node-c")).toContain("is attached to two nodes already");
    await stage.reconcile();
    limitIs(9 * 300 + 900);
    expect(stage.reasons()).not.toContain("MigrationFailed");
    stage.at(9 * 300 + 901);
    await stage.reconcile();
    await stage.reconcile();
    expect(stage.reasons().filter((reason) => reason === "MigrationFailed")).toHaveLength(1);
    expect(stage.on.posted.at(-1)?.message).toContain("has taken longer than 3600 s");
    expect(await timeouts()).toBe("1");
    expect(await stage.answer("node-c")).toContain("has taken 3601 s, 3600 s are allowed");
  });

  test("by post-copy, or when it is allowed, there is no limit any more; a paused guest has twice the time", async () => {
    for (const [applied, limit] of [
      [state({ configuration: config({ allowPostCopy: true }) }), 0],
      [state({ configuration: config(), mode: "PostCopy" }), 0],
      [state({ configuration: config({ allowWorkloadDisruption: true }) }), 2 * 9 * 150 + 900],
      [state({ configuration: config(), mode: "Paused" }), 2 * 9 * 150 + 900],
    ] as const) {
      await migrating();
      machine({ migrationState: applied });
      stage.at(DEFAULT_8GI + 1);
      await stage.reconcile();
      limitIs(limit);
      expect(stage.reasons()).toEqual(["MigrationStarted"]);
      await stage.on.close();
    }
  });

  test("a migration without limit gets one, if KubeVirt applies one to it", async () => {
    await migrating(() => {
      stage.cluster.config = config({ completionTimeoutPerGiB: 0 });
    });
    limitIs(0);
    stage.at(100_000);
    await stage.reconcile();
    expect(stage.reasons()).toEqual(["MigrationStarted"]);
    machine({ migrationState: state({ configuration: config({ completionTimeoutPerGiB: 100 }) }) });
    await stage.reconcile();
    expect(stage.on.posted.at(-1)?.message).toContain("has taken longer than 1800 s");
  });

  test("what KubeVirt applied holds until its source has gone, also once it has ended", async () => {
    await migrating(() => machine({ migrationState: undefined }));
    const ended = (START + 50_000) * 1_000;
    machine({
      node: "node-b",
      migrationState: state({
        ended,
        configuration: config({ completionTimeoutPerGiB: 0 }),
      }),
    });
    stage.at(50_001);
    await stage.reconcile();
    await stage.unpublish("node-a");
    expect(stage.reasons()).toEqual(["MigrationStarted", "MigrationCompleted"]);
    expect(await timeouts()).toBe("0");
  });

  test("Kubernetes does not answer: not reported before it does, and looked at in the usual interval", async () => {
    await migrating();
    stage.at(DEFAULT_8GI + 1);
    stage.cluster.up = false;
    expect(await stage.reconcile()).toBe(60_000);
    expect(stage.reasons()).toEqual(["MigrationStarted"]);
    stage.cluster.up = true;
    expect(await stage.reconcile()).toBe(60_000);
    expect(stage.reasons()).toEqual(["MigrationStarted", "MigrationFailed"]);
    expect(await timeouts()).toBe("1");
  });

  test("the machine may not be read: the time that was assumed holds", async () => {
    await migrating(() => stage.cluster.forbidden.add("virtualmachineinstances"));
    stage.at(3_600);
    await stage.reconcile();
    expect(await timeouts()).toBe("0");
    stage.at(3_601);
    await stage.reconcile();
    expect(await timeouts()).toBe("1");
  });

  test("a fixed time is not asked for", async () => {
    stage = await Stage.start({ parameters: { migrationTimeoutSeconds: "60" } });
    machine();
    await stage.publish("node-a");
    await stage.publish("node-b");
    stage.cluster.up = false;
    stage.at(61);
    await stage.reconcile();
    expect(await timeouts()).toBe("1");
  });
});
