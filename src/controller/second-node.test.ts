import { afterEach, describe, expect, test } from "bun:test";
import { BLOCK } from "../../test/support/rds-stack.ts";
import type { OwnerView } from "../kubernetes/port.ts";
import { isNodeGone } from "./kubernetes-evidence.ts";
import { ID, Stage } from "./migration.fixture.ts";

let stage: Stage;
const start = async (options?: Parameters<typeof Stage.start>[0]) => {
  stage = await Stage.start(options);
  await stage.publish("node-a");
  return stage;
};
afterEach(() => stage.on.close());

const NOT_PROVEN = "FAILED_PRECONDITION: volume csi-";
const NONE = "KubeVirt knows of no unfinished migration of virtual machine vms/vm1 to node node-b";
const machine = (over: Partial<OwnerView> = {}): OwnerView => ({
  apiVersion: "kubevirt.io/v1",
  kind: "VirtualMachineInstance",
  name: "vm1",
  uid: "uid-vm1",
  controller: true,
  ...over,
});
/** Refused with this reason, and only the first node has the volume. */
async function refused(reason: string, node = "node-b"): Promise<void> {
  const answer = await stage.answer(node);
  expect(answer).toStartWith(NOT_PROVEN);
  expect(answer).toEndWith(`no live migration is proven: ${reason}`);
  expect(await stage.nodes()).toEqual(["node-a"]);
}

describe("the requesting node must have a pod of the machine", () => {
  test("a plain pod is refused, and once it is deleted its retry is refused as well", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-target");
    cluster.addPod("stranger", "node-b");
    await refused("pod vms/stranger belongs to no virtual machine");
    stage.deletePod("stranger");
    await refused("no pod of the virtual machine is on node node-b, so nothing can be migrating there");
  });

  test("a target launcher on another node, or on none yet, does not speak for it", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-target");
    cluster.addLauncher("launcher-target", "vm1", "node-c");
    await refused("no pod of the virtual machine is on node node-b, so nothing can be migrating there");
    stage.deletePod("launcher-target");
    cluster.addPod("launcher-target", "node-b", "disk", { node: undefined, owners: [machine()] });
    await refused("no pod of the virtual machine is on node node-b, so nothing can be migrating there");
    stage.deletePod("launcher-target");
    cluster.addPod("launcher-target", "node-b", "disk", { phase: "Pending", owners: [machine()] });
    expect(await stage.answer("node-b")).toBe("OK");
  });
});

describe("a machine is known by the owner reference alone", () => {
  test("labels that virtctl guestfs has copied onto an ownerless pod identify nothing", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-target");
    const labels = {
      "kubevirt.io": "virt-launcher",
      "kubevirt.io/created-by": "uid-vm1",
      "vm.kubevirt.io/name": "vm1",
    };
    cluster.addPod("libguestfs-tools-disk", "node-b", "disk", { labels });
    await refused("pod vms/libguestfs-tools-disk belongs to no virtual machine");
  });

  test("only the controller, of KubeVirt's group, of this kind: other owners do not count", async () => {
    for (const owner of [
      machine({ controller: false }),
      machine({ apiVersion: "v1" }),
      machine({ apiVersion: "kubevirt.io.example.org/v1" }),
      machine({ apiVersion: "example.org/kubevirt.io" }),
      machine({ kind: "VirtualMachine" }),
      machine({ apiVersion: "export.kubevirt.io/v1beta1", kind: "VirtualMachineExport" }),
    ]) {
      const { cluster } = await start();
      stage.deletePod("launcher-target");
      cluster.addPod("other", "node-b", "disk", { owners: [owner] });
      await refused("pod vms/other belongs to no virtual machine");
      await stage.on.close();
    }
    const { cluster } = await start();
    stage.deletePod("launcher-target");
    // Any version of the group: objects keep the version that they were written with.
    cluster.addPod("launcher", "node-b", "disk", {
      owners: [machine({ apiVersion: "kubevirt.io/v1alpha3" })],
    });
    expect(await stage.answer("node-b")).toBe("OK");
  });

  test("a machine that was made anew under its name is another one", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-target");
    cluster.addPod("launcher-new", "node-b", "disk", { owners: [machine({ uid: "uid-again" })] });
    await refused("pod vms/launcher-source, pod vms/launcher-new belong to different virtual machines");
  });

  test("a hot-plug pod is its launcher's: by the owning Pod and its UID, whatever its labels say", async () => {
    const { cluster } = await start();
    cluster.pods.splice(0);
    const plug = (side: string, node: string, over: Partial<OwnerView> = {}) => {
      const name = `launcher-${side}`;
      const owner = { apiVersion: "v1", kind: "Pod", name, uid: `uid-${name}`, controller: true, ...over };
      cluster.addPod(`hp-${side}`, node, "disk", { owners: [owner] });
    };
    for (const [side, node] of [
      ["source", "node-a"],
      ["target", "node-b"],
    ] as const)
      cluster.addLauncher(`launcher-${side}`, "vm1", node, "root-disk");
    plug("source", "node-a");
    for (const over of [
      { controller: false },
      { kind: "ReplicaSet", apiVersion: "apps/v1" },
      { uid: "uid-of-a-pod-that-was-replaced" },
    ]) {
      plug("target", "node-b", over);
      await refused("pod vms/hp-target belongs to no virtual machine");
      stage.deletePod("hp-target");
    }
    plug("target", "node-b");
    expect(await stage.answer("node-b")).toBe("OK");
  });
});

describe("where KubeVirt's migrations can be read, an unfinished one is part of the proof", () => {
  test("no migration, a finished one, one of another machine, one to another node: refused", async () => {
    const { cluster } = await start();
    for (const [vmi, over] of [
      [undefined, {}],
      ["vm1", { phase: "Succeeded" }],
      ["vm1", { phase: "Failed" }],
      ["vm2", { phase: "Running", targetNode: "node-b" }],
      ["vm1", { phase: "Running", targetNode: "node-c" }],
      ["vm1", { phase: "Running", targetNode: "node-b", targetPod: "launcher-of-another-try" }],
    ] as const) {
      cluster.migrations.splice(0);
      if (vmi !== undefined) cluster.addMigration(vmi, over);
      await refused(NONE);
    }
  });

  test("one that is pending, names this node, or names the pod that is there: attached", async () => {
    for (const over of [
      { phase: "" },
      { phase: "Pending" },
      { phase: "WaitingForSync" },
      { phase: "TargetReady", targetNode: "node-b" },
      { phase: "Running", targetNode: "node-b", targetPod: "launcher-target" },
    ]) {
      const { cluster } = await start();
      cluster.migrations.splice(0);
      cluster.addMigration("vm1", over);
      expect(await stage.answer("node-b")).toBe("OK");
      await stage.on.close();
    }
  });

  test("hot-plugged: the target pod of the migration is the launcher that owns the pod of the claim", async () => {
    const { cluster } = await start();
    cluster.pods.splice(0);
    for (const [side, node] of [
      ["source", "node-a"],
      ["target", "node-b"],
    ] as const) {
      const name = `launcher-${side}`;
      cluster.addLauncher(name, "vm1", node, "root-disk");
      const owner = { apiVersion: "v1", kind: "Pod", name, uid: `uid-${name}`, controller: true };
      cluster.addPod(`hp-${side}`, node, "disk", { owners: [owner] });
    }
    cluster.migrations.splice(0);
    cluster.addMigration("vm1", { phase: "Running", targetNode: "node-b", targetPod: "launcher-target" });
    expect(await stage.answer("node-b")).toBe("OK");
  });

  test("may they not be read, or are there none in this cluster, the pods decide", async () => {
    for (const degrade of [
      () => stage.cluster.forbidden.add("virtualmachineinstancemigrations"),
      () => {
        stage.cluster.kubevirt = false;
      },
    ]) {
      const { cluster } = await start();
      cluster.migrations.splice(0);
      degrade();
      expect(await stage.answer("node-b")).toBe("OK");
      await stage.on.close();
    }
    const { cluster } = await start();
    cluster.forbidden.add("virtualmachineinstancemigrations");
    stage.deletePod("launcher-target");
    await refused("no pod of the virtual machine is on node node-b, so nothing can be migrating there");
  });

  test("an unknown source and no migration: refused", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-source");
    cluster.addPod("launcher-source", "node-a", "disk", { phase: "Unknown", owners: [machine()] });
    cluster.migrations.splice(0);
    await refused(NONE);
  });

  test("an unknown source, and migrations that may not be read: refused", async () => {
    const { cluster } = await start();
    stage.deletePod("launcher-source");
    cluster.addPod("launcher-source", "node-a", "disk", { phase: "Unknown", owners: [machine()] });
    const migrations = cluster.migrations.splice(0);
    cluster.forbidden.add("virtualmachineinstancemigrations");
    const UNKNOWN =
      "whether the source on node node-a still runs is unknown, and KubeVirt's migrations cannot be read";
    await refused(UNKNOWN);
    stage.deletePod("launcher-source");
    cluster.addLauncher("launcher-source", "vm1", "node-a");
    cluster.addMachine("vm1", undefined, { node: undefined });
    await refused(UNKNOWN);
    cluster.forbidden.clear();
    cluster.migrations.push(...migrations);
    expect(await stage.answer("node-b")).toBe("OK");
  });
});

describe("a right that is refused after it was granted (an API server that restarts has no rules yet)", () => {
  for (const resource of ["virtualmachineinstances", "virtualmachineinstancemigrations"] as const) {
    test(`${resource}: unknown, and not a proof by the pods alone`, async () => {
      const { cluster } = await start();
      const migrations = cluster.migrations.splice(0);
      await refused(NONE);
      cluster.forbidden.add(resource);
      expect(await stage.answer("node-b")).toStartWith("UNAVAILABLE: whether volume csi-");
      expect(await stage.nodes()).toEqual(["node-a"]);
      cluster.forbidden.clear();
      cluster.migrations.push(...migrations);
      expect(await stage.answer("node-b")).toBe("OK");
    });
  }
});

describe("the machine itself, where it can be read", () => {
  test("must exist under its UID and run on the node that has the volume", async () => {
    const { cluster } = await start();
    cluster.vmis.splice(0);
    await refused("virtual machine vms/vm1 of the pods does not exist any more");
    cluster.addMachine("vm1", undefined, { uid: "uid-again" });
    await refused("virtual machine vms/vm1 of the pods does not exist any more");
    cluster.addMachine("vm1", undefined, { node: "node-c" });
    await refused("virtual machine vms/vm1 runs on node node-c");
    cluster.addMachine("vm1", undefined);
    expect(await stage.answer("node-b")).toBe("OK");
  });

  test("may it not be read, pods and migration decide", async () => {
    const { cluster } = await start();
    cluster.forbidden.add("virtualmachineinstances");
    cluster.vmis.splice(0);
    expect(await stage.answer("node-b")).toBe("OK");
  });

  test("a storage migration gives neither its source nor its destination a second node", async () => {
    const { cluster } = await start();
    for (const claims of [
      ["disk", "disk-new"],
      ["disk-old", "disk"],
    ]) {
      cluster.addMachine("vm1", undefined, { migratedVolumes: [{ claims, bytes: 1n }] });
      await refused("claim vms/disk takes part in a storage migration, which needs no second node");
    }
    // Other disks of the machine migrate as usual.
    cluster.addMachine("vm1", undefined, { migratedVolumes: [{ claims: ["x", "y"], bytes: 1n }] });
    expect(await stage.answer("node-b")).toBe("OK");
  });

  test("source of a storage migration: only the source launcher uses it; destination: only the target's", async () => {
    const { cluster } = await start();
    cluster.forbidden.add("virtualmachineinstances");
    stage.deletePod("launcher-target");
    await refused("no pod of the virtual machine is on node node-b, so nothing can be migrating there");
    stage.deletePod("launcher-source");
    cluster.addLauncher("launcher-target", "vm1", "node-b");
    await refused("no running pod uses the claim on node node-a, so nothing can be migrating from there");
  });
});

describe("a ReadWriteMany volume whose holder is gone", () => {
  const lose = () => {
    stage.cluster.nodeNames.delete("node-a");
    stage.deletePod("launcher-source");
    stage.deletePod("launcher-target");
    stage.cluster.addLauncher("launcher-anew", "vm1-anew", "node-b");
  };

  test("goes to the next node under a new NQN, like a ReadWriteOnce one; the lost node is fenced", async () => {
    for (const migrationGuard of ["enforce", "warn"]) {
      await start({ parameters: { migrationGuard }, profile: "current" });
      const { device } = stage.on.simulator;
      const lost = await stage.publish("node-a");
      expect(device.connectHost(lost.nqn, lost.hostNqn)).toBe(true);
      lose();
      const next = await stage.publish("node-b");
      expect(next.nqn).not.toBe(lost.nqn);
      expect(device.connectHost(lost.nqn, lost.hostNqn)).toBe(false);
      expect(await stage.nodes()).toEqual(["node-b"]);
      expect(stage.reasons()).toEqual(["VolumeFenced"]);
      await stage.on.close();
    }
  });

  test("a node that merely is silent is not gone: refused as before", async () => {
    await start();
    lose();
    stage.cluster.nodeNames.add("node-a");
    await refused("no running pod uses the claim on node node-a, so nothing can be migrating from there");
  });

  test("gone is proven for this cluster only: without a PersistentVolume that names the volume nobody is", async () => {
    for (const capability of [BLOCK, undefined]) {
      const { cluster } = await start();
      if (capability !== undefined) {
        await stage.unpublish("node-a");
        await stage.publish("node-a", capability);
      }
      lose();
      cluster.pvs.splice(0);
      expect(await stage.answer("node-b", capability)).toStartWith(NOT_PROVEN);
      expect(await stage.nodes()).toEqual(["node-a"]);
      await stage.on.close();
    }
  });

  test("a node whose name no Node can have was never one of this cluster", async () => {
    await start();
    const { cluster } = stage;
    const { signal } = new AbortController();
    expect(await isNodeGone(cluster, ID, "node-z", signal)).toBe(true);
    expect(await isNodeGone(cluster, ID, "node-a", signal)).toBe(false);
    for (const name of ["Rack_1", "", ".."]) expect(await isNodeGone(cluster, ID, name, signal)).toBe(false);
    cluster.pvs.splice(0);
    expect(await isNodeGone(cluster, ID, "node-z", signal)).toBe(false);
  });

  test("an API that cannot be asked proves nothing", async () => {
    await start();
    await stage.unpublish("node-a");
    const held = await stage.publish("node-a", BLOCK);
    lose();
    stage.cluster.up = false;
    expect(await stage.answer("node-b", BLOCK)).toStartWith("UNAVAILABLE: ");
    expect(await stage.publish("node-a", BLOCK)).toEqual(held);
  });
});
