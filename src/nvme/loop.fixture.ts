import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { join } from "node:path";
import { CLUSTER, Lab, type LabNode, type Volume } from "../../test/support/loop-node.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import type { Target } from "../host/data-path.ts";

export let lab: Lab;

export let a: LabNode;

export let b: LabNode;

export const target = (volume: Volume, node: LabNode, more: Partial<Target> = {}): Target => ({
  nqn: volume.nqn,
  address: "127.0.0.1",
  port: 4420,
  ...hostIdentity(CLUSTER, node.nodeId),
  ctrlLossTmo: -1,
  reconnectDelay: 1,
  keepAliveTmo: 1,
  fastIoFailTmo: -1,
  nrIoQueues: 0,
  queueSize: 0,
  ...more,
});

export const claim = (volume: Volume, node: LabNode) => join(lab.root, "state", node.nodeId, volume.nqn);

/** Gives the tests of a file a lab with two nodes; after each test nothing is connected. */
export function useLoopRig(): void {
  beforeAll(() => {
    lab = new Lab();
    a = lab.node("a");
    b = lab.node("b");
  });
  afterAll(() => lab.cleanUp());
  afterEach(async () => {
    for (const node of [a, b]) {
      for (const { nqn } of await node.dataPath.list()) await node.dataPath.disconnect(nqn);
    }
    expect(lab.loops()).toEqual([]);
  });
}
