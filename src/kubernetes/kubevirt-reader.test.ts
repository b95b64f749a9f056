import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { BUILT_IN } from "../../test/support/kubernetes/fake-api-server.ts";
import { forever } from "../../test/support/kubernetes/world.ts";
import { parseQuantity } from "./quantity.ts";
import { client, useWorld, world } from "./reader.fixture.ts";

useWorld();

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
