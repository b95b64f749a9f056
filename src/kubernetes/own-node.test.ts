import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { DRIVER, forever, startWorld, type World } from "../../test/support/kubernetes/world.ts";
import type { Kubernetes } from "./create.ts";
import type { OwnNode } from "./own-node.ts";

const KEY = `${DRIVER}/agent-not-ready`;
let world: World;
let client: Kubernetes;
let own: OwnNode;
beforeEach(async () => {
  world = await startWorld();
  client = await world.client();
  own = client.ownNode("worker-1");
});
afterEach(() => world.stop());

const startup = (effect: string) => ({ key: KEY, value: "true", effect });
const other = {
  key: "example.org/gpu",
  value: "yes",
  effect: "NoSchedule",
  timeAdded: "2026-01-01T00:00:00Z",
};
const put = (...taints: object[]) =>
  world.api.apply({
    apiVersion: "v1",
    kind: "Node",
    metadata: { name: "worker-1" },
    spec: { podCIDR: "198.51.100.0/24", taints },
    status: { nodeInfo: { kernelVersion: "6.1" } },
  });
const node = () => world.api.get("Node", "worker-1");
const csiNode = (...drivers: string[]) =>
  world.api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: { name: "worker-1" },
    spec: { drivers: drivers.map((name) => ({ name, nodeID: "worker-1", topologyKeys: null })) },
  });

describe("the node's own objects", () => {
  test("registered is: its CSINode lists exactly this driver", async () => {
    expect(await own.isRegistered(forever)).toBe(false);
    csiNode("other.csi", `x.${DRIVER}`);
    expect(await own.isRegistered(forever)).toBe(false);
    csiNode("other.csi", DRIVER);
    expect(await own.isRegistered(forever)).toBe(true);
  });

  test("every taint of the key goes, whatever its effect; the rest of the node stays", async () => {
    put(startup("NoExecute"), other, startup("NoSchedule"));
    expect(await own.hasTaint(KEY, forever)).toBe(true);
    expect(await own.removeTaint(KEY, forever)).toBe(true);
    expect(node().spec).toEqual({ podCIDR: "198.51.100.0/24", taints: [other] });
    expect(node().status).toEqual({ nodeInfo: { kernelVersion: "6.1" } });
    expect(await own.hasTaint(KEY, forever)).toBe(false);
    world.api.accesses.length = 0;
    expect(await own.removeTaint(KEY, forever)).toBe(true);
    expect(world.api.accesses.map(({ verb }) => verb)).toEqual(["get"]);
  });

  test("a taint that somebody put before it meanwhile is kept: nothing is changed, and the next try removes it", async () => {
    put(startup("NoExecute"), other);
    const added = { key: "node.kubernetes.io/unreachable", effect: "NoExecute" };
    // Between the reading and the patch, as seen by the API server.
    world.api.faults.push({
      match: ({ verb, resource }) => {
        if (verb === "patch" && resource === "nodes") put(added, other, startup("NoExecute"));
        return false;
      },
    });
    expect(await own.removeTaint(KEY, forever)).toBe(false);
    expect(node().spec.taints).toEqual([added, other, startup("NoExecute")]);
    world.api.faults.length = 0;
    expect(await own.removeTaint(KEY, forever)).toBe(true);
    expect(node().spec.taints).toEqual([added, other]);
  });

  test("a taint that somebody added behind it meanwhile is kept too", async () => {
    put(startup("NoExecute"));
    world.api.faults.push({
      match: ({ verb }) => {
        if (verb === "patch") put(startup("NoExecute"), other);
        return false;
      },
    });
    expect(await own.removeTaint(KEY, forever)).toBe(true);
    expect(node().spec.taints).toEqual([other]);
  });

  test("no Node object, a name that no object can have, no right: each is said", async () => {
    await expect(own.hasTaint(KEY, forever)).rejects.toThrow("worker-1");
    for (const name of ["", "..", "a/b"]) {
      world.api.accesses.length = 0;
      await expect(client.ownNode(name).removeTaint(KEY, forever)).rejects.toThrow("is not known");
      expect(await client.ownNode(name).isRegistered(forever)).toBe(false);
      expect(world.api.accesses).toEqual([]);
    }
    put(startup("NoExecute"));
    world.api.rules = [{ apiGroups: [""], resources: ["nodes"], verbs: ["get"] }];
    await expect(own.removeTaint(KEY, forever)).rejects.toMatchObject({ id: "kubernetesForbidden" });
  });
});
