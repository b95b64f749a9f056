import { describe, expect, test } from "bun:test";
import {
  forever,
  node,
  persistentVolume,
  pod,
  volumeAttachment,
} from "../../test/support/kubernetes/world.ts";
import { kubernetesNodes } from "./node-registry.ts";
import { client, useWorld, world } from "./reader.fixture.ts";

useWorld();

const verbs = () => world.api.accesses.map(({ verb, resource }) => `${verb} ${resource}`);

describe("nodes", () => {
  test("a node id is the name of a Node object", async () => {
    world.api.apply(node("worker-1"));
    const registry = kubernetesNodes(client.reader);
    expect(await registry.exists("worker-1", forever)).toBe(true);
    expect(await registry.exists("worker-2", forever)).toBe(false);
  });

  test.each(["", ".", "..", "a/b", "Worker", "a?b=c", "a b", `${"x".repeat(254)}`, "../pods", "a..b"])(
    "%j cannot be a node and is not asked for",
    async (name) => {
      expect(await client.reader.nodeExists(name, forever)).toBe(false);
      expect(verbs()).toEqual([]);
    },
  );

  test("the API server is asked each time, for one node", async () => {
    expect(await client.reader.nodeExists("a", forever)).toBe(false);
    world.api.apply(node("a"));
    expect(await client.reader.nodeExists("a", forever)).toBe(true);
    world.api.delete("Node", "a");
    expect(await client.reader.nodeExists("a", forever)).toBe(false);
    expect(verbs()).toEqual(["get nodes", "get nodes", "get nodes"]);
  });

  test("pages of a large collection make one list", async () => {
    for (let index = 0; index < 1_201; index += 1) world.api.apply(node(`n${index}`));
    expect(await client.reader.nodes(forever)).toHaveLength(1_201);
    expect(verbs()).toEqual(["list nodes", "list nodes", "list nodes"]);
  });

  test("a continue token that expires starts the list again", async () => {
    for (let index = 0; index < 600; index += 1) world.api.apply(node(`n${index}`));
    const expireOnce = () => {
      if (world.api.accesses.length === 2) world.api.store.expireContinueTokens();
      return false;
    };
    world.api.faults.push({ match: expireOnce });
    expect(await client.reader.nodes(forever)).toHaveLength(600);
    expect(verbs()).toHaveLength(4);
  });
});

describe("PersistentVolumes", () => {
  test("are found by handle, with their claim", async () => {
    world.api.apply(persistentVolume("pv-1", "csi-1"));
    world.api.apply(persistentVolume("pv-2", "csi-1", { driver: "other.csi" }));
    expect(await client.reader.persistentVolumeByHandle("csi-1", forever)).toMatchObject({
      name: "pv-1",
      handle: "csi-1",
      claim: { namespace: "vms", name: "claim-pv-1", uid: "uid-pv-1" },
      storageClass: "rds",
      accessModes: ["ReadWriteMany"],
      volumeMode: "Block",
      phase: "Bound",
      deleting: false,
    });
    expect(await client.reader.persistentVolumeByHandle("csi-2", forever)).toBeUndefined();
  });

  test("one that is reserved for a claim, but not bound, has none", async () => {
    world.api.apply(
      persistentVolume("pv-1", "csi-1", { claim: { namespace: "a", name: "b" }, phase: "Available" }),
    );
    expect((await client.reader.persistentVolumeByHandle("csi-1", forever))?.claim).toBeUndefined();
  });

  test("the bound one counts, a released left-over does not; two bound ones are ambiguous", async () => {
    world.api.apply(persistentVolume("pv-old", "csi-1", { phase: "Released" }));
    world.api.apply(persistentVolume("pv-new", "csi-1"));
    expect((await client.reader.persistentVolumeByHandle("csi-1", forever))?.name).toBe("pv-new");
    world.api.apply(persistentVolume("pv-old", "csi-1"));
    const found = client.reader.persistentVolumeByHandle("csi-1", forever);
    await expect(found).rejects.toMatchObject({
      id: "persistentVolumeAmbiguous",
      summary: "volume csi-1 is bound through several PersistentVolumes: pv-new, pv-old",
    });
  });

  test("are read anew for each question", async () => {
    expect(await client.reader.persistentVolumeByHandle("csi-1", forever)).toBeUndefined();
    world.api.apply(persistentVolume("pv-1", "csi-1"));
    expect((await client.reader.persistentVolumeByHandle("csi-1", forever))?.name).toBe("pv-1");
  });
});

test("VolumeAttachments of this driver are listed", async () => {
  world.api.apply(volumeAttachment("va-1", "node-a"));
  world.api.apply(volumeAttachment("va-2", "node-b", "other.csi"));
  const deleted = volumeAttachment("va-3", "node-b") as { metadata: object };
  world.api.apply({
    ...deleted,
    metadata: { name: "va-3", finalizers: ["external-attacher/x"] },
    status: {},
  });
  world.api.delete("VolumeAttachment", "va-3");
  const found = await client.reader.volumeAttachments(forever);
  expect(found.map(({ name, node: on, attached, deleting }) => [name, on, attached, deleting])).toEqual([
    ["va-1", "node-a", true, false],
    ["va-3", "node-b", false, true],
  ]);
});

describe("pods", () => {
  const claimVolume = (claimName: string) => ({ name: "disk", persistentVolumeClaim: { claimName } });

  test("that use a claim through any volume and have not ended", async () => {
    world.api.apply(pod("direct", [{ name: "other", emptyDir: {} }, claimVolume("data")]));
    world.api.apply(pod("generic", [{ name: "scratch", ephemeral: { volumeClaimTemplate: {} } }]));
    world.api.apply(pod("ended", [claimVolume("data")], "Succeeded"));
    world.api.apply(pod("crashed", [claimVolume("data")], "Failed"));
    world.api.apply(pod("pending", [claimVolume("data")], "Pending"));
    world.api.apply(pod("unrelated", [claimVolume("data-2")]));
    world.api.apply(pod("elsewhere", [claimVolume("data")], "Running", { namespace: "other" }));
    const names = async (name: string) =>
      (await client.reader.podsUsingClaim({ namespace: "vms", name }, forever)).map((found) => found.name);
    expect(await names("data")).toEqual(["direct", "pending"]);
    expect(await names("generic-scratch")).toEqual(["generic"]);
    expect(await names("nothing")).toEqual([]);
  });

  test("beyond the first page too", async () => {
    for (let index = 0; index < 1_100; index += 1)
      world.api.apply(
        pod(`p${String(index).padStart(4, "0")}`, index % 500 === 499 ? [claimVolume("data")] : []),
      );
    const found = await client.reader.podsUsingClaim({ namespace: "vms", name: "data" }, forever);
    expect(found.map(({ name }) => name)).toEqual(["p0499", "p0999"]);
    expect(verbs()).toEqual(["list pods", "list pods", "list pods"]);
  });

  test("one pod, with owners and labels", async () => {
    const owner = {
      apiVersion: "kubevirt.io/v1",
      kind: "VirtualMachineInstance",
      name: "vm",
      uid: "u-1",
      controller: true,
    };
    world.api.apply(
      pod("launcher", [], "Running", {
        namespace: "vms",
        uid: "pod-uid",
        labels: { "kubevirt.io/created-by": "u-1" },
        ownerReferences: [owner, { ...owner, kind: "Thing", controller: undefined }],
      }),
    );
    expect(await client.reader.pod("vms", "launcher", forever)).toEqual({
      namespace: "vms",
      name: "launcher",
      uid: "pod-uid",
      node: "node-a",
      phase: "Running",
      terminating: false,
      labels: { "kubevirt.io/created-by": "u-1" },
      owners: [owner, { ...owner, kind: "Thing", controller: false }],
    });
    expect(await client.reader.pod("vms", "absent", forever)).toBeUndefined();
    expect(await client.reader.pod("..", "..", forever)).toBeUndefined();
  });
});
