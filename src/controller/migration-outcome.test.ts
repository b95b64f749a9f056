import { describe, expect, test } from "bun:test";
import { migrationOf, TestCluster } from "../../test/support/kubernetes/cluster.ts";
import type { EndedMigration } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { MigrationView } from "../kubernetes/port.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { kubevirtOutcome, outcomeOf } from "./migration-outcome.ts";

const ID = volumeIdFromName("vm-disk");
/** Seconds since the epoch: the second attachment and the first detachment. */
const SINCE = 1_700_000_000;
const AT = SINCE + 60;

const ended = (moved: boolean, stayed: string | undefined): EndedMigration => ({
  since: SINCE,
  at: AT,
  moved,
  overdue: false,
  stayed,
  by: "me",
});
/** node-a → node-b by the record: node-a left. */
const MOVED = ended(true, "node-b");
/** node-b left again. */
const STAYED = ended(false, "node-a");

/** A migration to a node, with times in seconds relative to the second attachment. */
const to = (
  targetNode: string | undefined,
  phase: string,
  times: { created?: number; started?: number; completed?: number } = {},
): MigrationView => {
  const ms = (seconds: number | undefined) => (seconds === undefined ? undefined : (SINCE + seconds) * 1_000);
  return migrationOf({
    name: `${targetNode}-${phase}`,
    phase,
    targetNode,
    created: ms(times.created ?? -30) ?? 0,
    started: ms(times.started),
    completed: ms(times.completed ?? (["Succeeded", "Failed"].includes(phase) ? 50 : undefined)),
  });
};

describe("the outcome of the migration that this one is", () => {
  test("by its target: the node that stayed, or the one that left", () => {
    expect(outcomeOf(MOVED, [to("node-b", "Succeeded")])).toBe("success");
    expect(outcomeOf(MOVED, [to("node-b", "Failed")])).toBe("failed");
    expect(outcomeOf(STAYED, [to("node-b", "Failed")])).toBe("failed");
    expect(outcomeOf(STAYED, [to("node-b", "Succeeded")])).toBe("success");
    expect(outcomeOf(MOVED, [to("node-b", "Running")])).toBeUndefined();
    expect(outcomeOf(MOVED, [])).toBeUndefined();
  });

  test("a newer one that KubeVirt failed at once, since this one ran, changes nothing", () => {
    const racing = to(undefined, "Failed", { created: 20, completed: 21 });
    expect(outcomeOf(MOVED, [to("node-b", "Succeeded"), racing])).toBe("success");
    expect(outcomeOf(MOVED, [racing])).toBeUndefined();
  });

  test("one that queued for hours before its turn is this one all the same", () => {
    expect(outcomeOf(MOVED, [to("node-b", "Failed", { created: -7_200, started: 5 })])).toBe("failed");
  });

  test("one that had ended before, began after, or went elsewhere is not", () => {
    expect(outcomeOf(MOVED, [to("node-b", "Failed", { created: -500, completed: -100 })])).toBeUndefined();
    expect(
      outcomeOf(MOVED, [to("node-b", "Failed", { created: -30, started: 90, completed: 95 })]),
    ).toBeUndefined();
    expect(outcomeOf(MOVED, [to("node-c", "Failed")])).toBeUndefined();
    expect(outcomeOf(STAYED, [to("node-a", "Succeeded")])).toBeUndefined();
  });

  test("tries on one node are one migration: the one that succeeded counts, a running one leaves it open", () => {
    expect(outcomeOf(MOVED, [to("node-b", "Failed", { completed: 10 }), to("node-b", "Succeeded")])).toBe(
      "success",
    );
    expect(
      outcomeOf(MOVED, [to("node-b", "Failed", { completed: 10 }), to("node-b", "Running")]),
    ).toBeUndefined();
  });

  test("both nodes left: whatever had a target then was this one", () => {
    const both = ended(false, undefined);
    expect(outcomeOf(both, [to("node-b", "Succeeded"), to(undefined, "Failed")])).toBe("success");
    expect(outcomeOf(both, [to(undefined, "Pending")])).toBeUndefined();
  });
});

describe("KubeVirt is asked for the machine of the claim", () => {
  const volume = { id: ID } as unknown as RdsVolume;
  const cluster = (guest: string | undefined, migrations: readonly MigrationView[] = []): TestCluster => {
    const made = new TestCluster();
    made.addVolume(ID);
    made.addLauncher("launcher-source", "vm1", "node-a");
    made.addLauncher("launcher-target", "vm1", "node-b");
    made.addMachine("vm1", undefined, { node: guest });
    made.migrations.push(...migrations.map((each) => ({ ...each, vmi: "vm1" })));
    return made;
  };
  const outcome = (on: TestCluster, which: EndedMigration) => kubevirtOutcome(on)(volume, which);

  test("the guest runs where the volume stayed: success on the second node, failure on the first", async () => {
    // The newest migration says the opposite each time.
    expect(await outcome(cluster("node-b", [to(undefined, "Failed")]), MOVED)).toBe("success");
    expect(await outcome(cluster("node-a", [to("node-c", "Succeeded")]), STAYED)).toBe("failed");
  });

  test("it runs elsewhere by now, or that may not be read: the migration to this target decides", async () => {
    const later = [
      to("node-b", "Succeeded"),
      to("node-c", "Failed", { created: 100, started: 110, completed: 120 }),
    ];
    expect(await outcome(cluster("node-c", later), MOVED)).toBe("success");
    expect(await outcome(cluster(undefined, [to("node-b", "Failed")]), MOVED)).toBe("failed");
    const hidden = cluster("node-a", [to("node-b", "Failed")]);
    hidden.forbidden.add("virtualmachineinstances");
    expect(await outcome(hidden, MOVED)).toBe("failed");
    hidden.forbidden.add("virtualmachineinstancemigrations");
    expect(await outcome(hidden, MOVED)).toBeUndefined();
  });

  test("a machine that was made anew under its name says nothing about this one", async () => {
    const on = cluster("node-b", []);
    on.addMachine("vm1", undefined, { uid: "uid-again", node: "node-b" });
    expect(await outcome(on, MOVED)).toBeUndefined();
  });

  test("silence of the API is not believed to be an answer", async () => {
    const on = cluster("node-b");
    on.up = false;
    await expect(outcome(on, MOVED)).rejects.toThrow("Kubernetes");
  });
});
