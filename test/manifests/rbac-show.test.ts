import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { DiagnoseContext } from "../../src/diagnose/context.ts";
import { askCluster } from "../../src/diagnose/probes/cluster.ts";
import type { VolumeId } from "../../src/domain/volume-id.ts";
import { notAsked } from "../../src/inspect/fact.ts";
import type { ClusterFacts } from "../../src/inspect/facts.ts";
import { gatherVolume } from "../../src/inspect/gather.ts";
import { readClusterLists } from "../../src/inspect/world.ts";
import {
  DRIVER,
  forever,
  node,
  persistentVolume,
  pod,
  startWorld,
  volumeAttachment,
  type World,
} from "../support/kubernetes/world.ts";
import { consistentFacts } from "../support/volume-facts.ts";
import { DRIVER_ROLES, rightOf, rightsOf, rulesOf } from "./rbac.fixture.ts";

const SHOW = "rds-csi-controller-show";
let world: World;
beforeEach(async () => {
  world = await startWorld();
  const { api } = world;
  const machine = {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachineInstance",
    name: "vm1",
    uid: "uid-vm1",
  };
  api.apply(node("node-a"));
  api.apply(persistentVolume("pv-1", "csi-1"));
  api.apply(volumeAttachment("va-1", "node-a"));
  api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "rds" },
    provisioner: "rds.csi.srvlab.io",
  });
  api.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { namespace: "vms", name: "claim-pv-1" },
    spec: { volumeName: "pv-1" },
    status: { phase: "Bound" },
  });
  // The volume is hot-plugged: only the pod that owns the pod with the claim tells of which machine it is.
  api.apply(
    pod("launcher", [], "Running", {
      uid: "uid-launcher",
      labels: { "kubevirt.io": "virt-launcher", "kubevirt.io/created-by": "uid-vm1" },
      ownerReferences: [{ ...machine, controller: true }],
    }),
  );
  const owner = { apiVersion: "v1", kind: "Pod", name: "launcher", uid: "uid-launcher", controller: true };
  api.apply(
    pod("hp-volume", [{ name: "disk", persistentVolumeClaim: { claimName: "claim-pv-1" } }], "Running", {
      labels: { "kubevirt.io": "hotplug-disk" },
      ownerReferences: [owner],
    }),
  );
  api.apply({
    ...machine,
    metadata: { namespace: "vms", name: "vm1", uid: "uid-vm1" },
    status: { nodeName: "node-a", phase: "Running" },
  });
});
afterEach(() => world.stop());

const used = () => new Set(world.api.accesses.map(rightOf));

/** What `volumes show` finds out with the rights of these roles. */
async function shown(roles: readonly string[], handle = "csi-1"): Promise<ClusterFacts> {
  world.api.rules = rulesOf(roles);
  const client = await world.client();
  const { installation, now } = consistentFacts();
  const lists = await readClusterLists(client.reader, forever);
  const rds = { file: async () => undefined, strayFile: async () => undefined };
  const facts = await gatherVolume(
    { now, installation, survey: notAsked("not in this test"), cluster: lists },
    handle as VolumeId,
    { rds, directory: "csi", cluster: client, forRds: forever, forCluster: forever },
  );
  return facts.cluster;
}

const unknownOf = (facts: ClusterFacts): string[] =>
  Object.entries(facts).flatMap(([name, fact]) =>
    "state" in fact && fact.state === "unknown" ? [name] : [],
  );

describe("the commands that people run in the controller pod", () => {
  test("volumes show and snapshots list find out everything, and their role has nothing that they do not use", async () => {
    const facts = await shown([...DRIVER_ROLES.controller, SHOW]);
    expect(unknownOf(facts)).toEqual([]);
    const { snapshots } = await world.client();
    expect(await snapshots.contents(forever)).toEqual([]);
    expect(facts.machines).toMatchObject({ value: [{ machine: { name: "vm1" } }] });
    const asked = used();
    const granted = rightsOf(rulesOf([...DRIVER_ROLES.controller, SHOW]));
    expect([...asked].filter((right) => !granted.has(right))).toEqual([]);
    expect([...rightsOf(rulesOf([SHOW]))].filter((right) => !asked.has(right))).toEqual([]);
  });

  test("of a PersistentVolume that was deleted by force the VolumeAttachment is still found", async () => {
    const roles = [...DRIVER_ROLES.controller, SHOW];
    const left = {
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name: "va-left" },
      spec: {
        attacher: "rds.csi.srvlab.io",
        nodeName: "node-a",
        source: { persistentVolumeName: "gone" },
      },
    };
    const metadata = { nqn: "nqn.2000-02.com.mikrotik:csi-2.7" };
    world.api.apply({ ...left, status: { attached: true, attachmentMetadata: metadata } });
    expect((await shown(roles, "csi-2")).attachments).toMatchObject({
      state: "known",
      value: [{ name: "va-left", pvName: "gone" }],
    });
    // Not those of volumes that have theirs.
    expect((await shown(roles, "csi-3")).attachments).toEqual({
      state: "known",
      value: [],
    });
  });

  test("without its role volumes show knows less, and says so", async () => {
    expect(unknownOf(await shown(DRIVER_ROLES.controller)).toSorted()).toEqual([
      "claim",
      "events",
      "nodes",
      "storageClass",
    ]);
  });

  test("volumes list needs no more than volumes show", async () => {
    world.api.rules = rulesOf([...DRIVER_ROLES.controller, SHOW]);
    const { reader } = await world.client();
    expect(await readClusterLists(reader, forever)).toMatchObject({
      pvs: { state: "known" },
      attachments: { state: "known" },
      nodes: { state: "known" },
    });
    const granted = rightsOf(world.api.rules);
    expect([...used()].filter((right) => !granted.has(right))).toEqual([]);
    expect(used().has("list storage.k8s.io/volumeattachments")).toBe(true);
  });
});

describe("rds-csi diagnose in a node pod", () => {
  /** Which questions it gets no answer to with the rights of these roles. */
  async function unanswered(roles: readonly string[]): Promise<string[]> {
    world.api.rules = rulesOf(roles);
    const kubeconfig = await world.api.writeKubeconfig(join(world.dir, "diagnose"));
    const config = { orchestrator: "kubernetes", kubeconfig, driverName: DRIVER, nodeId: "node-a" };
    const asked = await askCluster({ config } as DiagnoseContext, forever);
    if (asked.state !== "known") return ["all"];
    return Object.entries(asked.value).flatMap(([name, { state }]) => (state === "known" ? [] : [name]));
  }

  test("finds out everything with its two roles, which have nothing that it does not use", async () => {
    const own = ["rds-csi-node-diagnose", "rds-csi-node-diagnose-pods"];
    expect(await unanswered(own)).toEqual([]);
    expect([...used()].sort()).toEqual([...rightsOf(rulesOf(own))].sort());
  });

  test("with what the base grants only the pods stay unknown, and it says so", async () => {
    expect(await unanswered(["rds-csi-node", "rds-csi-node-diagnose"])).toEqual(["pods"]);
    expect(rightsOf(rulesOf(["rds-csi-node", "rds-csi-node-diagnose"])).has("list /pods")).toBe(false);
  });
});
