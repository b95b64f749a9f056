import { describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { Controller, Node, NodeServiceCapability_RPC_Type as Rpc } from "../../src/csi/gen/csi_pb.ts";
import { noDevices } from "../support/executable.ts";
import { loopsBelow } from "../support/leftovers.ts";
import { block, codeOf, mount, nameOf, outcome } from "../support/rpc.ts";
import { until } from "../support/until.ts";
import { SIZE, stand, UNKNOWN, useNodes, volume, work } from "./node.fixture.ts";

// What csi-sanity does not ask of a node: exact codes and messages, and what a workload really sees at the target.

const missing = (field: string) =>
  `INVALID_ARGUMENT: ${field} is required and was empty. Set the field and repeat the call.`;

describe.skipIf(noDevices !== "")(`a node process ${noDevices}`, () => {
  useNodes();

  describe("what it says of itself", () => {
    test("id, limit, capabilities; SINGLE_NODE_MULTI_WRITER as on the controller", async () => {
      const node = stand.node("node-a");
      expect(await node.nodeGetInfo()).toMatchObject({ nodeId: "node-a" });
      const { capabilities } = await node.nodeGetCapabilities();
      const names = capabilities.map(({ type }) => (type.case === "rpc" ? nameOf(Rpc, type.value.type) : ""));
      expect(names.sort()).toEqual([
        "EXPAND_VOLUME",
        "GET_VOLUME_STATS",
        "SINGLE_NODE_MULTI_WRITER",
        "STAGE_UNSTAGE_VOLUME",
        "VOLUME_CONDITION",
      ]);
    });

    test("what it does not offer is UNIMPLEMENTED", async () => {
      const controller = stand.connect(Controller, stand.nodeSocket("node-a"));
      expect(await codeOf(controller.createVolume({ name: "x" }))).toBe("UNIMPLEMENTED");
      expect(Node.methods.map(({ name }) => name)).toContain("NodeExpandVolume");
    });
  });

  describe("NodeExpandVolume", () => {
    test("fields, and volumes that are not there", async () => {
      const node = stand.node("node-a");
      expect(await outcome(node.nodeExpandVolume())).toBe(missing("volume_id"));
      expect(await outcome(node.nodeExpandVolume({ volumeId: UNKNOWN }))).toBe(missing("volume_path"));
      const asked = { volumeId: UNKNOWN, volumePath: join(work, "nowhere") };
      expect(await codeOf(node.nodeExpandVolume({ ...asked, capacityRange: { requiredBytes: -1n } }))).toBe(
        "INVALID_ARGUMENT",
      );
      expect(await codeOf(node.nodeExpandVolume(asked))).toBe("NOT_FOUND");
    });

    test("a block volume in use, on a target that shows sizes after a re-export only", async () => {
      const made = await volume(block());
      const node = stand.node("node-a");
      expect([await made.stage(), await made.publish()]).toEqual(["OK", "OK"]);
      const capacityRange = { requiredBytes: 2n * SIZE };
      const { volumeId } = made;
      const grown = await stand.controller.controllerExpandVolume({ volumeId, capacityRange });
      expect([grown.capacityBytes, grown.nodeExpansionRequired]).toEqual([2n * SIZE, true]);
      const total = async () => (await made.stats(made.target())).usage[0]?.total;
      expect(await total()).toBe(SIZE);
      const expand = { volumeId, volumePath: made.target(), capacityRange };
      for (let repeat = 0; repeat < 2; repeat += 1) {
        expect((await node.nodeExpandVolume(expand)).capacityBytes).toBe(2n * SIZE);
      }
      expect(await total()).toBe(2n * SIZE);
      expect([await made.unpublish(), await made.unstage()]).toEqual(["OK", "OK"]);
      await made.remove();
    });
  });

  describe("NodeUnstageVolume", () => {
    // A kubelet that is killed during the call does not repeat it.
    test("goes on to its end when its caller has gone", async () => {
      const before = await loopsBelow(work);
      const made = await volume(block());
      expect(await made.stage()).toBe("OK");
      const device = (await loopsBelow(work)).find((each) => !before.includes(each)) ?? "";
      const user = openSync(device, "r");
      const { volumeId, staging: stagingTargetPath } = made;
      const node = stand.node("node-a");
      // Shorter than the time for which a user is given the chance to end.
      const cut = node.nodeUnstageVolume({ volumeId, stagingTargetPath }, { deadlineMs: 400 });
      expect(await codeOf(cut)).toBe("DEADLINE_EXCEEDED");
      expect(await loopsBelow(work)).toContain(device);
      closeSync(user);
      await until("the device to be disconnected", async () => !(await loopsBelow(work)).includes(device));
      await until("the end of the work", async () => (await made.unstage()) === "OK");
      await made.remove();
    });
  });

  describe("fields, in the order of the specification", () => {
    test("NodeStageVolume and NodeUnstageVolume", async () => {
      const node = stand.node("node-a");
      const stagingTargetPath = join(work, "fields");
      const volumeCapability = mount();
      const stage = (request: object) => outcome(node.nodeStageVolume(request));
      expect(await stage({})).toBe(missing("volume_id"));
      expect(await stage({ volumeId: UNKNOWN })).toBe(missing("staging_target_path"));
      expect(await stage({ volumeId: UNKNOWN, stagingTargetPath })).toBe(missing("volume_capability"));
      const whole = { volumeId: UNKNOWN, stagingTargetPath, volumeCapability };
      expect(await stage(whole)).toBe(missing("publish_context.nqn"));
      expect(await stage({ ...whole, volumeId: "no-such-id" })).toStartWith(
        'NOT_FOUND: volume "no-such-id" does not exist on the RDS.',
      );
      expect(await stage({ ...whole, stagingTargetPath: "relative" })).toBe(
        'INVALID_ARGUMENT: staging_target_path is invalid: "relative" is not an absolute, normalised path. Correct the field and repeat the call.',
      );
      expect(
        await codeOf(node.nodeStageVolume({ ...whole, stagingTargetPath: `/${"x".repeat(5000)}` })),
      ).toBe("INVALID_ARGUMENT");
      const unstage = (request: object) => outcome(node.nodeUnstageVolume(request));
      expect(await unstage({})).toBe(missing("volume_id"));
      expect(await unstage({ volumeId: UNKNOWN })).toBe(missing("staging_target_path"));
      for (const volumeId of [UNKNOWN, "no-such-id"]) {
        expect(await unstage({ volumeId, stagingTargetPath })).toBe("OK");
        expect(await unstage({ volumeId, stagingTargetPath: "/no/such/directory" })).toBe("OK");
      }
    });

    test("NodePublishVolume and NodeUnpublishVolume", async () => {
      const node = stand.node("node-a");
      const targetPath = join(work, "fields");
      const publish = (request: object) => outcome(node.nodePublishVolume(request));
      expect(await publish({})).toBe(missing("volume_id"));
      expect(await publish({ volumeId: UNKNOWN })).toBe(missing("target_path"));
      expect(await publish({ volumeId: UNKNOWN, targetPath })).toBe(missing("volume_capability"));
      const whole = { volumeId: UNKNOWN, targetPath, volumeCapability: block() };
      expect(await publish(whole)).toBe(
        "FAILED_PRECONDITION: staging_target_path is required, as this driver stages volumes. Set the field and repeat the call.",
      );
      expect(await publish({ ...whole, stagingTargetPath: "/x", volumeId: "no-such-id" })).toStartWith(
        "NOT_FOUND: ",
      );
      const unpublish = (request: object) => outcome(node.nodeUnpublishVolume(request));
      expect(await unpublish({})).toBe(missing("volume_id"));
      expect(await unpublish({ volumeId: UNKNOWN })).toBe(missing("target_path"));
      for (const volumeId of [UNKNOWN, "no-such-id"]) {
        expect(await unpublish({ volumeId, targetPath })).toBe("OK");
      }
    });

    test("NodeGetVolumeStats", async () => {
      const stats = (request: object) => outcome(stand.node("node-a").nodeGetVolumeStats(request));
      expect(await stats({})).toBe(missing("volume_id"));
      expect(await stats({ volumeId: UNKNOWN })).toBe(missing("volume_path"));
      expect(await stats({ volumeId: UNKNOWN, volumePath: "relative" })).toBe(
        `NOT_FOUND: volume "${UNKNOWN}" is not found at "relative" on this node. Nothing has to be done if the pod has gone.`,
      );
      expect(await stats({ volumeId: "no-such-id", volumePath: work })).toStartWith("NOT_FOUND: ");
      expect(await stats({ volumeId: UNKNOWN, volumePath: "/no/such/path" })).toStartWith("NOT_FOUND: ");
    });
  });
});
