import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Glob } from "bun";
import { kubernetesCluster } from "../../src/cli/build-cluster.ts";
import { runNode } from "../../src/cli/node.ts";
import { nodeEvents } from "../../src/cli/node-events.ts";
import { openCluster } from "../../src/cli/volumes/connect.ts";
import { type ControllerConfig, loadNodeConfig, type VolumesConfig } from "../../src/config/load.ts";
import { systemClock } from "../../src/domain/clock.ts";
import type { RdsVolume } from "../../src/rds/volume.ts";
import { SHARDS } from "../../src/records/copy.ts";
import { BUILT_IN, CLUSTER_UID } from "../support/kubernetes/fake-api-server.ts";
import {
  DRIVER,
  forever,
  type LogLine,
  node,
  persistentVolume,
  pod,
  recordingLogger,
  startWorld,
  until,
  volumeAttachment,
  type World,
} from "../support/kubernetes/world.ts";
import { describeSets, type Manifest, ofKind, templates } from "./manifests.fixture.ts";
import {
  bindingsOf,
  COMMAND_ROLES,
  DRIVER_ROLES,
  NAMESPACE,
  rightOf,
  rightsOf,
  rulesOf,
  withComponents,
} from "./rbac.fixture.ts";

const TYPES = [...BUILT_IN];
let world: World;
let kubeconfig: string;
let log: LogLine[];
beforeEach(async () => {
  world = await startWorld();
  kubeconfig = await world.api.writeKubeconfig(join(world.dir, "config"));
  log = [];
});
afterEach(() => world.stop());

/** What was asked for so far, whether it was granted or not. */
const used = () => new Set(world.api.accesses.map(rightOf));
const event = { type: "Warning", reason: "Test", message: "x" } as const;
const events = (): Manifest[] => world.api.list("Event");

/** A machine with a hot-plugged volume, in the middle of a migration, in a cluster with everything that can be read. */
function populate(): void {
  const { api } = world;
  const disk = [{ name: "disk", persistentVolumeClaim: { claimName: "claim-pv-1" } }];
  api.apply(persistentVolume("pv-1", "csi-1"));
  api.apply(volumeAttachment("va-1", "node-a"));
  const machine = {
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachineInstance",
    name: "vm1",
    uid: "uid-vm1",
  };
  for (const side of ["a", "b"]) {
    const on = { spec: { nodeName: `node-${side}` } };
    const launcher = { name: `launcher-${side}`, uid: `uid-${side}`, controller: true };
    const owner = { apiVersion: "v1", kind: "Pod", ...launcher };
    const { name, uid } = launcher;
    api.apply(node(`node-${side}`));
    api.apply({
      ...pod(name, [], "Running", { uid, ownerReferences: [{ ...machine, controller: true }] }),
      ...on,
    } as never);
    const hotplug = pod(`hp-volume-${side}`, disk, "Running", { ownerReferences: [owner] });
    api.apply({ ...hotplug, spec: { ...on.spec, volumes: disk } } as never);
  }
  const metadata = { namespace: "vms", name: "vm1", uid: "uid-vm1" };
  api.apply({
    ...machine,
    metadata,
    spec: { domain: { memory: { guest: "4Gi" } } },
    status: { nodeName: "node-a" },
  });
  api.apply({
    apiVersion: "kubevirt.io/v1",
    kind: "VirtualMachineInstanceMigration",
    metadata: { ...metadata, uid: "uid-migration" },
    spec: { vmiName: "vm1" },
    status: { phase: "Scheduling" },
  });
  api.apply({
    apiVersion: "kubevirt.io/v1",
    kind: "KubeVirt",
    metadata: { namespace: "kubevirt", name: "kubevirt" },
  });
}

/** A call of a method of the client library, by its naming. */
const API_CALL =
  /\b(?:core|storage|coordination)\s*\.((?:read|list|create|replace|patch|delete|connect)[A-Z]\w*)\(/g;

describe("the driver's rights are what its code asks for", () => {
  test("controller: nothing is missing, nothing is too much", async () => {
    populate();
    world.api.rules = rulesOf(DRIVER_ROLES.controller);
    const config = { driverName: DRIVER, kubeconfig, podName: "controller-0", leaseNamespace: NAMESPACE };
    const deps = { logger: recordingLogger(log), clock: systemClock };
    const cluster = await kubernetesCluster(config as unknown as ControllerConfig, deps);
    const volume = { id: "csi-1" } as unknown as RdsVolume;
    try {
      expect(await cluster.clusterId(forever)).toBe(CLUSTER_UID);
      expect(await cluster.nodes.exists("node-a", forever)).toBe(true);
      expect(await cluster.evidence.holderGone(volume, "node-z", forever)).toBe(true);
      const pair = { holder: "node-a", requester: "node-b" };
      expect(await cluster.evidence.singleUser(volume, pair, forever)).toEqual({ kind: "proven" });
      expect(await cluster.evidence.allowedSeconds(volume, { target: "node-b", since: 0 }, forever)).toEqual({
        kind: "known",
        seconds: 5 * 150 + 900,
      });
      expect(await cluster.outcome(volume, { since: 0, moved: false, stayed: "node-a" } as never)).toBe(
        "failed",
      );
      for (const count of [1, 2]) {
        cluster.events?.postForVolume("csi-1", event);
        await until(`the event counts ${count}`, () => events()[0]?.count === count);
      }
      // Two terms: the Lease is made, given back, and taken again.
      for (const _ of [1, 2]) {
        const term = new AbortController();
        await cluster.lead(async () => term.abort(), term.signal);
      }
      expect(world.api.list("Lease", NAMESPACE)).toHaveLength(1);
      for (const shard of SHARDS) {
        const made = await cluster.shards?.write(shard, { a: "1" }, undefined, forever);
        expect(await cluster.shards?.read(shard, forever)).toEqual(made);
        await cluster.shards?.write(shard, { a: "2" }, made, forever);
      }
      expect(world.api.list("ConfigMap", NAMESPACE)).toHaveLength(16);
    } finally {
      await cluster.close();
    }
    const volumesConfig = { orchestrator: "kubernetes", kubeconfig, driverName: DRIVER };
    const command = await openCluster(volumesConfig as VolumesConfig, recordingLogger(log));
    if (command === undefined) throw new Error("no cluster was opened");
    await command.reader.persistentVolumes(forever);
    await command.reader.volumeAttachments(forever).finally(() => command.close(0));
    expect(log.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
    expect([...used()].sort()).toEqual([...rightsOf(world.api.rules)].sort());
  });

  test("node: nothing is missing, nothing is too much", async () => {
    // A name of its own, so that nothing on this machine is taken for a leftover of this node.
    const driver = "rbac.example.org";
    const taint = { key: `${driver}/agent-not-ready`, effect: "NoExecute" };
    const metadata = { name: "node-a" };
    world.api.apply({ apiVersion: "v1", kind: "Node", metadata, spec: { taints: [taint] } });
    const drivers = [{ name: driver, nodeID: "node-a", topologyKeys: null }];
    world.api.apply({ apiVersion: "storage.k8s.io/v1", kind: "CSINode", metadata, spec: { drivers } });
    world.api.apply(persistentVolume("pv-1", "csi-1", { driver }));
    world.api.rules = rulesOf(DRIVER_ROLES.node);
    const stop = new AbortController();
    const flags = {
      "node-id": ["node-a"],
      "driver-name": [driver],
      "nqn-prefix": ["nqn.2026-01.org.example.rbac"],
      "data-path": ["loop"],
      "loop-exports-dir": [world.dir],
      "state-dir": [join(world.dir, "state")],
      endpoint: [join(world.dir, "csi.sock")],
      orchestrator: ["kubernetes"],
      kubeconfig: [kubeconfig],
    };
    const config = await loadNodeConfig({ flags, env: {} });
    const running = runNode(config, { stop: stop.signal, logger: recordingLogger(log) });
    await until("the taint is gone", () => world.api.get("Node", "node-a")?.spec.taints.length === 0);
    stop.abort();
    await running;
    const reporting = await nodeEvents(config, { logger: recordingLogger(log), clock: systemClock });
    for (const count of [1, 2]) {
      reporting.sink?.postForVolume("csi-1", event);
      await until(`the event counts ${count}`, () => events()[0]?.count === count);
    }
    await reporting.close();
    expect([...used()].sort()).toEqual([...rightsOf(world.api.rules)].sort());
  });

  test("a node told to leave the taint alone asks for neither Node nor CSINode", async () => {
    const flags = {
      "node-id": ["node-a"],
      "driver-name": ["rbac.example.org"],
      "nqn-prefix": ["nqn.2026-01.org.example.rbac"],
      "data-path": ["loop"],
      "loop-exports-dir": [world.dir],
      "state-dir": [join(world.dir, "state")],
      "remove-startup-taint": ["false"],
      endpoint: [join(world.dir, "csi.sock")],
      orchestrator: ["kubernetes"],
      kubeconfig: [kubeconfig],
    };
    const stop = new AbortController();
    const config = await loadNodeConfig({ flags, env: {} });
    const running = runNode(config, { stop: stop.signal, logger: recordingLogger(log) });
    await until("it serves", () => log.some(({ message }) => message.startsWith("serving")));
    await until("it knows its cluster", () => log.some(({ fields }) => fields?.clusterId === CLUSTER_UID));
    stop.abort();
    await running;
    expect([...used()]).toEqual(["get /namespaces"]);
  });

  test("every method of the API that the source names is granted to somebody", () => {
    const calls = new Set<string>();
    const root = resolve(import.meta.dir, "../../src");
    for (const path of new Glob("**/*.ts").scanSync(root)) {
      if (/\.(test|fixture)\.ts$/.test(path) || path.startsWith("csi/gen/")) continue;
      const source = readFileSync(join(root, path), "utf8");
      for (const [, method] of source.matchAll(API_CALL)) if (method !== undefined) calls.add(method);
    }
    const granted = rightsOf(
      rulesOf([...DRIVER_ROLES.controller, ...DRIVER_ROLES.node, ...Object.keys(COMMAND_ROLES)]),
    );
    const verbs: Record<string, string> = { read: "get", replace: "update" };
    const missing = [...calls].filter((method) => {
      const [, verb = "", , kind = ""] =
        /^(read|list|create|replace|patch|delete)(Namespaced)?(\w+?)(ForAllNamespaces)?$/.exec(method) ?? [];
      const type = TYPES.find((known) => known.kind === kind);
      if (type === undefined) return true;
      const { group, resource } = type;
      return !granted.has(rightOf({ verb: verbs[verb] ?? verb, group, resource }));
    });
    expect(calls.size).toBeGreaterThan(10);
    expect(missing).toEqual([]);
  });

  test("what people's commands may do in the pods is reading", () => {
    for (const name of Object.keys(COMMAND_ROLES))
      for (const { verbs } of rulesOf([name]))
        expect(["get", "list"]).toEqual(expect.arrayContaining([...verbs]));
  });
});

function bindingTests(objects: readonly Manifest[]): void {
  const roles = objects.filter(({ kind }) => kind === "Role" || kind === "ClusterRole");
  const bindings = bindingsOf(objects);

  test("every binding names a role and an account that exist, every role is bound, every account is used", () => {
    const accounts = ofKind(objects, "ServiceAccount").map(({ metadata }) => metadata.name);
    expect(accounts.sort()).toEqual(
      templates(objects)
        .map((template) => template.spec.template.spec.serviceAccountName)
        .sort(),
    );
    for (const { kind, subjects, roleRef } of bindings) {
      expect(subjects).toHaveLength(1);
      expect(subjects[0]).toMatchObject({ kind: "ServiceAccount", namespace: NAMESPACE });
      expect(accounts).toContain(subjects[0].name);
      expect(`${roleRef.kind}Binding`).toBe(kind);
      expect(roles.map((role) => `${role.kind} ${role.metadata.name}`)).toContain(
        `${roleRef.kind} ${roleRef.name}`,
      );
    }
    expect(bindings.map(({ roleRef }) => `${roleRef.kind} ${roleRef.name}`).sort()).toEqual(
      roles.map(({ kind, metadata }) => `${kind} ${metadata.name}`).sort(),
    );
  });

  test("no wildcard, no Secret, no way to more rights; Leases only in the own namespace", () => {
    for (const { kind, metadata, rules } of roles) {
      for (const { apiGroups, resources, verbs, nonResourceURLs } of rules) {
        const all: string[] = [...apiGroups, ...resources, ...verbs];
        const refused = ["*", "secrets", "escalate", "bind", "impersonate", "deletecollection", "pods/exec"];
        expect([metadata.name, all.filter((each) => refused.includes(each))]).toEqual([metadata.name, []]);
        expect(nonResourceURLs).toBeUndefined();
        if (resources.includes("leases")) expect(kind).toBe("Role");
      }
    }
  });

  test("the node's account has the roles of the node only", () => {
    const of = (account: string) =>
      bindings.filter(({ subjects }) => subjects[0].name === account).map(({ roleRef }) => roleRef.name);
    // That to list the pods of all nodes only where somebody has asked for it.
    const pods = "rds-csi-node-diagnose-pods";
    expect(
      of("rds-csi-node")
        .filter((name) => name !== pods)
        .sort(),
    ).toEqual(["rds-csi-node", "rds-csi-node-diagnose"]);
    const lists = roles.filter(({ rules }) =>
      rules.some(({ resources }: Manifest) => resources.includes("pods")),
    );
    const nodes = lists.map(({ metadata }) => metadata.name).filter((name) => name.includes("node"));
    expect([[], [pods]]).toContainEqual(nodes);
    expect(of("rds-csi-controller")).toEqual(
      expect.arrayContaining([
        "rds-csi-controller",
        "rds-csi-provisioner",
        "rds-csi-attacher",
        "rds-csi-resizer",
      ]),
    );
  });
}
describeSets(bindingTests);
describe("the files of base and of the components with roles", () => bindingTests(withComponents()));
