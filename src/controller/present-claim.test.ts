import { afterEach, expect, test } from "bun:test";
import { TestCluster } from "../../test/support/kubernetes/cluster.ts";
import { BLOCK, MIB, type Stack, startStack } from "../../test/support/rds-stack.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { kubernetesEvidence } from "./kubernetes-evidence.ts";

const POPULATOR = "prime-0a1b2c3d-0000-4000-8000-000000000009";
let stack: Stack;
afterEach(() => stack.close());

/** A disk that CDI imported: made for the populator's claim, then bound to the machine's. */
async function imported(): Promise<{ id: VolumeId; cluster: TestCluster }> {
  const cluster = new TestCluster();
  stack = await startStack({ evidence: kubernetesEvidence(cluster) });
  const { id } = await stack.volumes.create({
    name: "pvc-1",
    range: { requiredBytes: MIB, limitBytes: 0n },
    capabilities: [BLOCK],
    parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": POPULATOR },
    mutableParameters: {},
    source: undefined,
    signal: stack.signal,
  });
  cluster.addVolume(id, "database");
  return { id, cluster };
}

const publish = (id: VolumeId) =>
  stack.attachments.publish({
    volumeId: id,
    nodeId: "node-a",
    capability: BLOCK,
    readonly: false,
    signal: stack.signal,
  });
const claimOf = async (id: VolumeId) => {
  const { volumes } = await stack.rds.list(stack.signal);
  return volumes.find((volume) => volume.id === id)?.record.claim;
};

test("an attach writes the claim that the PersistentVolume is bound to into the record, with no further command", async () => {
  const { id } = await imported();
  expect(await claimOf(id)).toEqual({ namespace: "vms", name: POPULATOR });
  stack.commandsSince();
  await publish(id);
  expect(stack.commandsSince().filter((line) => line.includes("/disk"))).toHaveLength(2);
  expect(await claimOf(id)).toEqual({ namespace: "vms", name: "database" });
});

test("without an answer of the cluster, or without a PersistentVolume, an attach keeps the claim", async () => {
  const { id, cluster } = await imported();
  cluster.up = false;
  await publish(id);
  expect(await claimOf(id)).toEqual({ namespace: "vms", name: POPULATOR });
  await stack.attachments.unpublish(id, "node-a", stack.signal);
  cluster.up = true;
  cluster.pvs.splice(0);
  await publish(id);
  expect(await claimOf(id)).toEqual({ namespace: "vms", name: POPULATOR });
});
