import { afterEach, describe, expect, test } from "bun:test";
import { BLOCK } from "../../test/support/rds-stack.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { Stage } from "./migration.fixture.ts";

let stage: Stage;
const start = async () => {
  stage = await Stage.start();
  return stage;
};
afterEach(() => stage.on.close());

/** Pauses of external-attacher between its tries, in seconds since the first one. */
const TRIES = [0, 1, 3, 7, 15, 31, 63, 127];

/** The error that publishing ends with. */
async function refusal(node: string, capability?: typeof BLOCK): Promise<DriverError> {
  const error = await stage.publish(node, capability).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DriverError)) throw new Error(`node ${node} was not refused`);
  return error;
}
async function refusals(cause: string): Promise<number> {
  const metric = await stage.on.registry.getSingleMetric("rds_csi_attachment_refusals_total")?.get();
  return metric?.values.find(({ labels }) => labels.cause === cause)?.value ?? 0;
}

describe("a refused node", () => {
  test("of a hand-over that ends within a minute posts no event, and each refusal is counted", async () => {
    const { cluster } = await start();
    cluster.pods.splice(0);
    cluster.addPod("importer", "node-a", "disk", { phase: "Succeeded" });
    cluster.addLauncher("launcher", "vm1", "node-b");
    await stage.publish("node-a");
    for (const second of TRIES.filter((each) => each < 60)) {
      stage.at(second);
      await refusal("node-b");
    }
    await stage.unpublish("node-a");
    await stage.publish("node-b");
    expect(stage.reasons()).toEqual([]);
    expect(await refusals("not-proven")).toBe(6);
  });

  test("is told once the refusal has lasted a minute, and then at each further one", async () => {
    await start();
    await stage.publish("node-a", BLOCK);
    const told: number[] = [];
    for (const second of TRIES) {
      stage.at(second);
      await refusal("node-b", BLOCK);
      told.push(stage.reasons().length);
    }
    expect(told).toEqual([0, 0, 0, 0, 0, 0, 1, 2]);
    expect(stage.on.posted.at(0)).toMatchObject({ type: "Warning", reason: "AttachmentConflict" });
    expect(await refusals("attached-elsewhere")).toBe(TRIES.length);
  });

  test("begins anew with another node, another holder, a success, a long pause, or a clock that goes back", async () => {
    await start();
    const refusedAt = async (second: number, node = "node-b") => {
      stage.at(second);
      await refusal(node, BLOCK);
    };
    await stage.publish("node-a", BLOCK);
    await refusedAt(0);
    await refusedAt(61, "node-c");
    await refusedAt(50);
    await stage.unpublish("node-a");
    await stage.publish("node-a", BLOCK);
    await refusedAt(70);
    await stage.unpublish("node-a");
    await stage.publish("node-b", BLOCK);
    await stage.unpublish("node-b");
    stage.at(70);
    await stage.publish("node-a", BLOCK);
    await refusedAt(140);
    await refusedAt(140 + 601);
    await refusedAt(-3_600);
    expect(stage.reasons()).toEqual([]);
    await refusedAt(-3_541);
    expect(stage.reasons()).toEqual([]);
    await refusedAt(-3_540);
    expect(stage.reasons()).toEqual(["AttachmentConflict"]);
  });
});

describe("the remedy of a refusal", () => {
  const WAIT =
    /No other workload has to be stopped.*repeated.*power it off.*node\.kubernetes\.io\/out-of-service/s;
  const STOP = /stop the workload that the message names/i;

  test("does not tell to stop a workload where none is: hand-over from an importer, dead holder", async () => {
    for (const change of [
      // CDI hands over: the importer has ended, its node is not detached yet.
      () => {
        stage.cluster.pods.splice(0);
        stage.cluster.addPod("importer", "node-a", "disk", { phase: "Succeeded" });
        stage.cluster.addLauncher("launcher", "vm1", "node-b");
      },
      // From one pod of CDI to the next one.
      () => {
        stage.cluster.pods.splice(0);
        stage.cluster.addPod("cloner", "node-b");
      },
      // The holder is dead: its pod never ends, and the machine starts anew elsewhere.
      () => {
        stage.cluster.pods.splice(0);
        stage.cluster.addPod("launcher-source", "node-a", "disk", {
          terminating: true,
          owners: [
            {
              apiVersion: "kubevirt.io/v1",
              kind: "VirtualMachineInstance",
              name: "vm1",
              uid: "uid-old",
              controller: true,
            },
          ],
        });
        stage.cluster.addLauncher("launcher-anew", "vm1", "node-b");
      },
      // The migration has ended.
      () => stage.cluster.migrations.splice(0),
      () => stage.cluster.pods.splice(0),
    ]) {
      await start();
      await stage.publish("node-a");
      change();
      const error = await refusal("node-b");
      expect(error.id).toBe("holderNotDetached");
      expect(error.remedy).toMatch(WAIT);
      expect(error.remedy).not.toMatch(STOP);
      await stage.on.close();
    }
    await start();
  });

  test("tells to stop the one that is named where there is one", async () => {
    for (const change of [
      () => stage.cluster.addPod("backup", "node-b"),
      () => stage.cluster.addPod("backup", "node-c"),
      () => stage.cluster.addLauncher("other", "vm2", "node-b"),
    ]) {
      await start();
      await stage.publish("node-a");
      change();
      const error = await refusal("node-b");
      expect(error.id).toBe("secondNodeNotProven");
      expect(error.remedy).toMatch(STOP);
      await stage.on.close();
    }
    await start();
  });
});
