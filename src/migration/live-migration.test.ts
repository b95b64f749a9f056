import { expect, test } from "bun:test";
import type { OneVmi } from "./guard.ts";
import { judgeMigration, type KubevirtState, type MigrationState, type VmiState } from "./live-migration.ts";

const ONE: OneVmi = {
  kind: "one-vmi",
  vmi: { namespace: "vms", name: "vm1", uid: "uid-1" },
  requesters: ["virt-launcher-2", "hp-2"],
  sourceUnknown: false,
};
const VMI: VmiState = { uid: "uid-1", node: "node-a", migratedVolumes: [] };
const RUNNING: MigrationState = { phase: "Running", targetNode: "node-b", targetPod: "virt-launcher-2" };
const NONE = "KubeVirt knows of no unfinished migration of virtual machine vms/vm1 to node node-b";
const UNKNOWN =
  "whether the source on node node-a still runs is unknown, and KubeVirt's migrations cannot be read";

const judge = (state: Partial<KubevirtState>, one: Partial<OneVmi> = {}): unknown => {
  const nodes = { holder: "node-a", requester: "node-b" };
  const judged = judgeMigration(
    nodes,
    "data",
    { ...ONE, ...one },
    { vmi: VMI, migrations: [RUNNING], ...state },
  );
  if (judged.kind !== "not-proven") return judged.kind;
  return [judged.reason, judged.waits];
};
const refused = (reason: string): unknown => [reason, true];

test.each<[string, Partial<KubevirtState>, unknown]>([
  ["a running migration to the node", {}, "proven"],
  ["one of several", { migrations: [{ ...RUNNING, phase: "Failed" }, RUNNING] }, "proven"],
  [
    "one whose target is not known yet",
    { migrations: [{ ...RUNNING, targetNode: undefined, targetPod: undefined }] },
    "proven",
  ],
  ["one of a hot-plug pod", { migrations: [{ ...RUNNING, targetPod: "hp-2" }] }, "proven"],
  ["no migration", { migrations: [] }, refused(NONE)],
  ["one that has succeeded", { migrations: [{ ...RUNNING, phase: "Succeeded" }] }, refused(NONE)],
  ["one that has failed", { migrations: [{ ...RUNNING, phase: "Failed" }] }, refused(NONE)],
  ["one to another node", { migrations: [{ ...RUNNING, targetNode: "node-c" }] }, refused(NONE)],
  ["one to another pod", { migrations: [{ ...RUNNING, targetPod: "x" }] }, refused(NONE)],
  [
    "one to another node by another pod",
    { migrations: [{ ...RUNNING, targetNode: "node-c", targetPod: undefined }] },
    refused(NONE),
  ],
])("with %s", (_, state, expected) => {
  expect(judge(state)).toEqual(expected);
});

test.each<[string, Partial<VmiState> | "absent" | undefined, unknown]>([
  ["may not be read", undefined, "proven"],
  ["has no node yet", { node: undefined }, "proven"],
  ["is gone", "absent", refused("virtual machine vms/vm1 of the pods does not exist any more")],
  ["was made anew", { uid: "uid-2" }, refused("virtual machine vms/vm1 of the pods does not exist any more")],
  ["runs on another node", { node: "node-b" }, refused("virtual machine vms/vm1 runs on node node-b")],
  [
    "copies this claim in a storage migration",
    { migratedVolumes: [{ claims: ["x"] }, { claims: ["old", "data"] }] },
    refused("claim vms/data takes part in a storage migration, which needs no second node"),
  ],
  ["copies other claims only", { migratedVolumes: [{ claims: ["x"] }] }, "proven"],
])("a machine that %s", (_, over, expected) => {
  const vmi = over === undefined || over === "absent" ? over : { ...VMI, ...over };
  expect(judge({ vmi })).toEqual(expected);
});

test("without KubeVirt's migrations the pods alone are the proof, unless the source is unknown", () => {
  const migrations = undefined;
  expect(judge({ migrations })).toBe("proven");
  expect(judge({ migrations, vmi: undefined })).toBe("proven");
  expect(judge({ migrations }, { sourceUnknown: true })).toEqual(refused(UNKNOWN));
  expect(judge({ migrations, vmi: undefined }, { sourceUnknown: true })).toEqual(refused(UNKNOWN));
  expect(judge({ migrations, vmi: { ...VMI, node: undefined } })).toEqual(refused(UNKNOWN));
});
