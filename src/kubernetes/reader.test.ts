import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BUILT_IN } from "../../test/support/kubernetes/fake-api-server.ts";
import {
  forever,
  node,
  persistentVolume,
  pod,
  startWorld,
  volumeAttachment,
  type World,
} from "../../test/support/kubernetes/world.ts";
import type { Kubernetes } from "./create.ts";
import { kubernetesNodes } from "./node-registry.ts";
import { parseQuantity } from "./quantity.ts";

let world: World;
let client: Kubernetes;
beforeEach(async () => {
  world = await startWorld();
  client = await world.client();
});
afterEach(() => world.stop());

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
    expect(await client.reader.persistentVolumeByHandle("csi-1", forever)).toEqual({
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

describe("KubeVirt", () => {
  const kubevirt = (kind: string, name: string, rest: object, apiVersion = "kubevirt.io/v1") => ({
    apiVersion,
    kind,
    metadata: { namespace: "vms", name, uid: `uid-${name}`, creationTimestamp: "2026-11-01T10:00:00Z" },
    ...rest,
  });

  test("a virtual machine instance, with what its migration looks like", async () => {
    world.api.apply(
      kubevirt("VirtualMachineInstance", "vm", {
        spec: { domain: { memory: { guest: "4Gi" }, resources: { requests: { memory: "1Gi" } } } },
        status: {
          phase: "Running",
          nodeName: "node-a",
          // A migration that applies hot-plugged memory: what the guest has now is the old size.
          memory: { guestCurrent: "2Gi" },
          migratedVolumes: [
            {
              volumeName: "root",
              sourcePVCInfo: {
                claimName: "old",
                requests: { storage: "10Gi" },
                capacity: { storage: "12Gi" },
              },
              destinationPVCInfo: { claimName: "new", requests: { storage: "20Gi" } },
            },
            { volumeName: "other" },
          ],
          migrationState: {
            migrationUid: "uid-m",
            sourceNode: "node-a",
            targetNode: "node-b",
            startTimestamp: "2026-11-01T11:00:00Z",
            mode: "PreCopy",
            migrationConfiguration: { completionTimeoutPerGiB: 800, allowWorkloadDisruption: true },
          },
        },
      }),
    );
    expect(await client.reader.virtualMachineInstance("vms", "vm", forever)).toEqual({
      uid: "uid-vm",
      namespace: "vms",
      name: "vm",
      node: "node-a",
      phase: "Running",
      memoryBytes: 4n << 30n,
      migratedVolumes: [
        { claims: ["old", "new"], bytes: 10n << 30n },
        { claims: [], bytes: undefined },
      ],
      migrationState: {
        targetNode: "node-b",
        ended: undefined,
        mode: "PreCopy",
        configuration: {
          completionTimeoutPerGiB: 800,
          allowPostCopy: false,
          allowWorkloadDisruption: true,
        },
      },
    });
    expect(await client.reader.virtualMachineInstance("vms", "absent", forever)).toBeUndefined();
  });

  test("an instance that has not started knows little", async () => {
    world.api.apply(
      kubevirt("VirtualMachineInstance", "new", {
        spec: { domain: { resources: { requests: { memory: "512M" } } } },
      }),
    );
    expect(await client.reader.virtualMachineInstance("vms", "new", forever)).toMatchObject({
      node: undefined,
      phase: "",
      memoryBytes: 512_000_000n,
      migrationState: undefined,
    });
  });

  test("the migrations of one instance, oldest first", async () => {
    const at = (name: string, vmiName: string, minute: number, status: object) => ({
      ...kubevirt("VirtualMachineInstanceMigration", name, { spec: { vmiName }, status }),
      metadata: { namespace: "vms", name, uid: name, creationTimestamp: `2026-11-01T10:0${minute}:00Z` },
    });
    const transition = (phase: string, time: string) => ({ phase, phaseTransitionTimestamp: time });
    world.api.apply(at("second", "vm", 2, { phase: "Running" }));
    world.api.apply(
      at("first", "vm", 1, {
        phase: "Failed",
        phaseTransitionTimestamps: [
          transition("Running", "2026-11-01T10:01:10Z"),
          transition("Failed", "2026-11-01T10:01:30Z"),
        ],
        migrationState: {
          failureReason: "target vanished",
          sourceNode: "node-a",
          targetNode: "node-b",
          targetPod: "virt-launcher-vm-x",
          startTimestamp: "2026-11-01T10:01:12Z",
        },
      }),
    );
    world.api.apply(at("other", "vm-2", 0, {}));
    expect(await client.reader.migrationsOf("vms", "vm", forever)).toEqual([
      {
        name: "first",
        uid: "first",
        phase: "Failed",
        created: Date.UTC(2026, 10, 1, 10, 1),
        targetNode: "node-b",
        targetPod: "virt-launcher-vm-x",
        started: Date.UTC(2026, 10, 1, 10, 1, 12),
        completed: Date.UTC(2026, 10, 1, 10, 1, 30),
        failureReason: "target vanished",
      },
      {
        name: "second",
        uid: "second",
        phase: "Running",
        created: Date.UTC(2026, 10, 1, 10, 2),
        targetNode: undefined,
        targetPod: undefined,
        started: undefined,
        completed: undefined,
        failureReason: undefined,
      },
    ]);
  });

  test("the migration settings of the cluster, as far as they are set", async () => {
    expect(await client.reader.migrationConfig(forever)).toBeUndefined();
    const unset = {
      completionTimeoutPerGiB: undefined,
      allowPostCopy: false,
      allowWorkloadDisruption: false,
    };
    world.api.apply(kubevirt("KubeVirt", "kubevirt", { spec: {} }));
    expect(await client.reader.migrationConfig(forever)).toEqual(unset);
    world.api.apply(
      kubevirt("KubeVirt", "kubevirt", {
        spec: { configuration: { migrations: { completionTimeoutPerGiB: 0, allowPostCopy: true } } },
      }),
    );
    expect(await client.reader.migrationConfig(forever)).toEqual({
      ...unset,
      completionTimeoutPerGiB: 0,
      allowPostCopy: true,
    });
  });

  test("without its CRDs there are no instances, and no migrations to look for", async () => {
    world.api.types.splice(0, world.api.types.length, ...BUILT_IN);
    expect(await client.reader.virtualMachineInstance("vms", "vm", forever)).toBeUndefined();
    expect(await client.reader.migrationsOf("vms", "vm", forever)).toBeUndefined();
    expect(await client.reader.migrationConfig(forever)).toBeUndefined();
  });

  test("without the permission instances are unknown, only the configuration is done without", async () => {
    world.api.rules = [];
    const forbidden = { id: "kubernetesForbidden" };
    await expect(client.reader.virtualMachineInstance("vms", "vm", forever)).rejects.toMatchObject(forbidden);
    await expect(client.reader.migrationsOf("vms", "vm", forever)).rejects.toMatchObject(forbidden);
    expect(await client.reader.migrationConfig(forever)).toBeUndefined();
    world.api.rules = undefined;
    world.api.faults.push({ status: 500 });
    const unavailable = { id: "kubernetesUnavailable" };
    await expect(client.reader.migrationConfig(forever)).rejects.toMatchObject(unavailable);
  });
});

describe("quantities", () => {
  test.each([
    ["0", 0n],
    ["1", 1n],
    ["64Gi", 64n << 30n],
    ["1.5Gi", 1_610_612_736n],
    ["512M", 512_000_000n],
    ["1k", 1_000n],
    ["2e3", 2_000n],
    ["0.1Ki", 103n],
    ["8E", 8n * 10n ** 18n],
  ])("%s", (text, bytes) => {
    expect(parseQuantity(text)).toBe(bytes);
  });

  test("what is none is not taken for one", () => {
    for (const text of [
      "",
      "-1Gi",
      "Gi",
      "1 Gi",
      "1gi",
      "1K",
      "1e999",
      "100m",
      "NaN",
      undefined,
      null,
      {},
      "1Gi\n",
    ])
      expect({ text, value: parseQuantity(text) }).toEqual({ text, value: undefined });
    fc.assert(
      fc.property(fc.string(), (text) => {
        const value = parseQuantity(text);
        return value === undefined || value >= 0n;
      }),
    );
  });
});
