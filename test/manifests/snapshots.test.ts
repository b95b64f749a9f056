import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { testIo } from "../../src/cli/cli.fixture.ts";
import { main } from "../../src/cli/main.ts";
import { driverName } from "../../src/config/common-options.ts";
import { parseSnapshotHandle } from "../../src/domain/snapshot-id.ts";
import { parseQuantity } from "../../src/kubernetes/quantity.ts";
import { startWorld, volumeSnapshot, type World } from "../support/kubernetes/world.ts";
import { files, type Manifest, ofKind, parseManifests } from "./manifests.fixture.ts";
import { rightOf, rightsOf, rulesOf } from "./rbac.fixture.ts";

const every = [...files.values()].flat().filter((object) => object?.kind !== undefined);
const schedule = files.get("examples/snapshots/schedule.yaml") ?? [];
const [texts] = ofKind(schedule, "ConfigMap");
const scheduled = parseManifests(texts.data["snapshots.yaml"], "schedule.yaml");

/** What the CRDs of external-snapshotter know, as far as the examples need it. */
const FIELDS: Readonly<Record<string, readonly string[]>> = {
  VolumeSnapshotClass: ["driver", "deletionPolicy"],
  VolumeSnapshot: [
    "spec.volumeSnapshotClassName",
    "spec.source.persistentVolumeClaimName",
    "spec.source.volumeSnapshotContentName",
  ],
  VolumeSnapshotContent: [
    ...["spec.driver", "spec.deletionPolicy", "spec.volumeSnapshotClassName", "spec.source.snapshotHandle"],
    ...["spec.volumeSnapshotRef.name", "spec.volumeSnapshotRef.namespace"],
  ],
};

function leaves(value: unknown, path = ""): string[] {
  if (value === null || typeof value !== "object") return [path];
  return Object.entries(value).flatMap(([key, each]) => leaves(each, path === "" ? key : `${path}.${key}`));
}

describe("VolumeSnapshots, their contents and classes", () => {
  const all = [...every, ...scheduled].filter(({ apiVersion }) =>
    apiVersion.startsWith("snapshot.storage.k8s.io/"),
  );

  test("have the fields of their CRDs only, and name this driver and a class that exists", () => {
    expect(new Set(all.map(({ kind }) => kind))).toEqual(new Set(Object.keys(FIELDS)));
    const classes = ofKind(all, "VolumeSnapshotClass").map(({ metadata }) => metadata.name);
    for (const { apiVersion, kind, metadata: _, ...rest } of all) {
      expect(apiVersion).toBe("snapshot.storage.k8s.io/v1");
      expect([kind, leaves(rest).filter((leaf) => !FIELDS[kind]?.includes(leaf))]).toEqual([kind, []]);
      const driver = rest.driver ?? rest.spec.driver;
      if (driver !== undefined) expect(driver).toBe(driverName.defaultText);
      const policy = rest.deletionPolicy ?? rest.spec?.deletionPolicy;
      if (policy !== undefined) expect(["Delete", "Retain"]).toContain(policy);
      if (rest.spec !== undefined) expect(classes).toContain(rest.spec.volumeSnapshotClassName);
    }
  });

  test("the restored claim is of the example's snapshot, of its class, and not smaller than its source", () => {
    const [snapshot] = files.get("examples/snapshots/snapshot.yaml") ?? [];
    const [restored] = files.get("examples/snapshots/restore.yaml") ?? [];
    const source = ofKind(every, "PersistentVolumeClaim").find(
      ({ metadata }) => metadata.name === snapshot.spec.source.persistentVolumeClaimName,
    );
    expect(restored.spec.dataSource).toEqual({
      ...{ apiGroup: "snapshot.storage.k8s.io", kind: snapshot.kind, name: snapshot.metadata.name },
    });
    expect(restored.spec.storageClassName).toBe(source.spec.storageClassName);
    const size = ({ spec }: Manifest) => parseQuantity(spec.resources.requests.storage) ?? 0n;
    expect(size(restored) >= size(source)).toBe(true);
  });

  test("a snapshot by its handle: content and VolumeSnapshot name each other, and deleting them keeps it", () => {
    const [content, snapshot] = files.get("examples/snapshots/by-handle.yaml") ?? [];
    expect(parseSnapshotHandle(content.spec.source.snapshotHandle)).toBeDefined();
    const { name, namespace } = snapshot.metadata;
    expect(content.spec.volumeSnapshotRef).toEqual({ name, namespace });
    expect(snapshot.spec.source).toEqual({ volumeSnapshotContentName: content.metadata.name });
    expect(content.spec.deletionPolicy).toBe("Retain");
  });

  test("a machine's snapshot and its restore name the machine of the example, and lie in two files: an apply of the one does no restore", () => {
    const only = (name: string) => {
      const objects = files.get(`examples/kubevirt/${name}.yaml`) ?? [];
      expect([name, objects.length]).toEqual([name, 1]);
      return objects[0];
    };
    const [taken, restore] = [only("vm-snapshot"), only("vm-restore")];
    expect([taken.kind, restore.kind]).toEqual(["VirtualMachineSnapshot", "VirtualMachineRestore"]);
    const [machine] = ofKind(every, "VirtualMachine");
    const named = { apiGroup: "kubevirt.io", kind: "VirtualMachine", name: machine.metadata.name };
    expect([taken.spec.source, restore.spec.target]).toEqual([named, named]);
    expect(restore.spec.virtualMachineSnapshotName).toBe(taken.metadata.name);
  });
});

describe("the schedule", () => {
  const [create, prune] = ofKind(schedule, "CronJob").map(({ spec }) => spec.jobTemplate.spec.template.spec);
  const [container] = prune.containers;
  const [label = ""] = container.args.flatMap((arg: string) => /^--selector=(.*)$/.exec(arg)?.[1] ?? []);
  let world: World;
  beforeEach(async () => {
    world = await startWorld();
  });
  afterEach(() => world.stop());

  /** Runs the command of the second CronJob with the rights of its account. */
  async function run() {
    const roles = [...ofKind(schedule, "Role"), ...ofKind(schedule, "ClusterRole")];
    const [{ metadata }] = ofKind(schedule, "Role");
    world.api.rules = rulesOf([metadata.name], roles).map((rule) =>
      rule.namespace === undefined ? rule : { ...rule, namespace: metadata.namespace },
    );
    const kubeconfig = await world.api.writeKubeconfig(join(world.dir, "schedule"));
    const io = testIo();
    const where = ["--kubeconfig", kubeconfig, "--namespace", metadata.namespace];
    const code = await main([...container.args, ...where], io);
    return { code, ...io.written };
  }

  test("the command of the second CronJob keeps the newest snapshots of the first, with its own rights and no others", async () => {
    const [key = "", value = ""] = label.split("=");
    const keep = Number(container.args.join(" ").match(/--keep=(\d+)/)?.[1]);
    const [made] = scheduled;
    expect(made.metadata.labels).toEqual({ [key]: value });
    const claim = made.spec.source.persistentVolumeClaimName;
    for (let day = 1; day <= keep + 2; day += 1)
      for (const object of volumeSnapshot(`${made.metadata.generateName}${day}`, `snap-${day}`, {
        ...{ namespace: "vms", claim, labels: made.metadata.labels },
        createdAt: `2026-02-${String(day).padStart(2, "0")}T02:00:00Z`,
      }))
        world.api.apply(object);
    for (const object of volumeSnapshot("by-hand", "snap-0", { claim })) world.api.apply(object);
    const { code, out } = await run();
    expect(code).toBe(0);
    expect(out).toContain(`vms/${made.metadata.generateName}1: deleted\n`);
    const left = world.api.list("VolumeSnapshot", "vms").map(({ metadata }) => metadata.name);
    expect(left).toHaveLength(keep + 1);
    expect(left).toContain("by-hand");
    const used = new Set(world.api.accesses.map(rightOf));
    // The first CronJob makes VolumeSnapshots.
    used.add("create snapshot.storage.k8s.io/volumesnapshots");
    expect([...used].sort()).toEqual([...rightsOf(world.api.rules ?? [])].sort());
  });

  test("each binding names the account and a role of the file", () => {
    const [account] = ofKind(schedule, "ServiceAccount");
    const { name, namespace } = account.metadata;
    for (const kind of ["Role", "ClusterRole"]) {
      const [role] = ofKind(schedule, kind);
      const [binding] = ofKind(schedule, `${kind}Binding`);
      expect(binding.subjects).toEqual([{ kind: "ServiceAccount", name, namespace }]);
      expect(binding.roleRef).toMatchObject({ kind, name: role.metadata.name });
    }
    for (const pod of [create, prune]) expect(pod.serviceAccountName).toBe(name);
  });

  test("the pods are restricted, mount what they read, and the driver's image is this version", () => {
    expect(container.image).toBe(`rds-csi:${packageJson.version}`);
    const [kubectl] = create.containers;
    expect(kubectl.image).toMatch(/^registry\.k8s\.io\/kubectl:v\d+\.\d+\.\d+$/);
    const file = Object.keys(texts.data).map((name) => `--filename=/schedule/${name}`);
    expect(kubectl.args).toEqual(["create", ...file]);
    for (const pod of [create, prune]) {
      expect(pod).toMatchObject({ restartPolicy: "Never", enableServiceLinks: false });
      expect(pod.securityContext).toMatchObject({
        runAsNonRoot: true,
        seccompProfile: { type: "RuntimeDefault" },
      });
      for (const { securityContext, resources } of pod.containers) {
        expect(securityContext).toEqual({
          ...{ allowPrivilegeEscalation: false, readOnlyRootFilesystem: true },
          capabilities: { drop: ["ALL"] },
        });
        expect(Object.keys(resources).sort()).toEqual(["limits", "requests"]);
      }
    }
  });
});
