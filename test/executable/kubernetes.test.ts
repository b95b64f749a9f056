import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { VolumeCapability_AccessMode_Mode as Mode } from "../../src/csi/gen/csi_pb.ts";
import { volumeIdFromName } from "../../src/domain/volume-id.ts";
import { DRIVER_ROLES, NAMESPACE, rulesOf } from "../manifests/rbac.fixture.ts";
import { BUILT_IN, CLUSTER_UID, FakeApiServer, KUBEVIRT } from "../support/kubernetes/fake-api-server.ts";
import { type Stand, startStand, until } from "../support/stand.ts";

const NAME = "vm-disk";
const ID = volumeIdFromName(NAME);
const ACTIVE = "rds_csi_migration_active_migrations";
const capability = {
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
  accessType: { case: "block", value: {} },
} as const;

/** The controller as in a cluster: the compiled executable, a fake API server over HTTPS, two nodes, one machine. */
describe("the executable with --orchestrator kubernetes", () => {
  let base = "";
  let api: FakeApiServer;
  let stand: Stand;

  beforeAll(async () => {
    base = await mkdtemp(join(tmpdir(), "rds-k8s-"));
    api = await FakeApiServer.start({ resources: [...BUILT_IN, ...KUBEVIRT] });
    // It may do what the manifests grant, and nothing else.
    api.rules = rulesOf(DRIVER_ROLES.controller);
    const kubeconfig = await api.writeKubeconfig(join(base, "kubeconfig"));
    // The API server is away when the controller starts: it must start all the same.
    await api.down();
    stand = await startStand({
      executable: resolve("dist/rds-csi"),
      directory: join(base, "s"),
      startNodes: false,
      orchestrator: [
        "--orchestrator",
        "kubernetes",
        "--kubeconfig",
        kubeconfig,
        "--lease-namespace",
        NAMESPACE,
        "--pod-name",
        "controller-0",
      ],
      // Set, so that volumes can be made before the API server has said which cluster this is.
      controller: ["--cluster-id", CLUSTER_UID],
    });
  }, 240_000);
  afterAll(async () => {
    await stand?.close();
    await api?.stop();
    await rm(base, { recursive: true });
  });

  const publish = (nodeId: string) =>
    stand.controller.controllerPublishVolume({ volumeId: ID, nodeId, volumeCapability: capability });
  const refusal = async (call: Promise<unknown>): Promise<string> => {
    try {
      await call;
      return "OK";
    } catch (error) {
      return (error as Error).message;
    }
  };
  const events = () =>
    api
      .list("Event", "vms")
      .map(
        ({ reason, involvedObject, type }) =>
          `${type} ${reason} ${involvedObject.kind}/${involvedObject.name}`,
      );
  const metric = (name: string) =>
    new Promise<string>((done, fail) => {
      request({ socketPath: join(stand.directory, "metrics.sock"), path: "/metrics" }, (response) => {
        let text = "";
        response.on("data", (data) => {
          text += data;
        });
        response.on("end", () =>
          done(
            text.split("\n").find((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`)) ?? "",
          ),
        );
      })
        .on("error", fail)
        .end();
    });
  const pod = (name: string, nodeName: string, metadata: object = {}) => ({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "vms", ...metadata },
    spec: { nodeName, volumes: [{ name: "disk", persistentVolumeClaim: { claimName: "disk" } }] },
    status: { phase: "Running" },
  });
  const launcher = (name: string, nodeName: string, vmi: string) =>
    pod(name, nodeName, {
      ownerReferences: [
        {
          apiVersion: "kubevirt.io/v1",
          kind: "VirtualMachineInstance",
          name: vmi,
          uid: `uid-${vmi}`,
          controller: true,
        },
      ],
    });
  const kubevirt = (kind: string, name: string, rest: object) => ({
    apiVersion: "kubevirt.io/v1",
    kind,
    metadata: { namespace: "vms", name, uid: `uid-${name}` },
    ...rest,
  });
  const machine = (name: string, nodeName: string) =>
    kubevirt("VirtualMachineInstance", name, { status: { nodeName, phase: "Running" } });
  const migration = (phase: string) =>
    kubevirt("VirtualMachineInstanceMigration", "m1", { spec: { vmiName: "vm1" }, status: { phase } });

  test("starts without the API server; a node that cannot be looked up is UNAVAILABLE, not missing", async () => {
    await stand.controller.createVolume({
      name: NAME,
      volumeCapabilities: [capability],
      capacityRange: { requiredBytes: 1n << 20n },
    });
    expect(await refusal(publish("node-a"))).toMatch(
      /^14 UNAVAILABLE: Kubernetes could not be asked to get node node-a: /,
    );
  });

  test("a live migration, proven by the API server, with its events on the claim", async () => {
    await api.up();
    for (const name of ["node-a", "node-b"])
      api.apply({ apiVersion: "v1", kind: "Node", metadata: { name } });
    api.apply({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "pv-1" },
      spec: {
        csi: { driver: "rds.csi.srvlab.io", volumeHandle: ID },
        accessModes: ["ReadWriteMany"],
        volumeMode: "Block",
        claimRef: { namespace: "vms", name: "disk", uid: "uid-disk" },
      },
      status: { phase: "Bound" },
    });
    expect(await refusal(publish("node-x"))).toMatch(/^5 NOT_FOUND: node "node-x" is not known/);
    api.apply(machine("vm1", "node-a"));
    api.apply(launcher("launcher-source", "node-a", "vm1"));
    await publish("node-a");
    // What virtctl guestfs makes of a template with the labels of a machine; then it is deleted, and only the attach is repeated.
    const labels = { "kubevirt.io/created-by": "uid-vm1", "vm.kubevirt.io/name": "vm1" };
    api.apply(pod("libguestfs-tools-disk", "node-b", { labels }));
    expect(await refusal(publish("node-b"))).toContain(
      "pod vms/libguestfs-tools-disk belongs to no virtual machine",
    );
    api.delete("Pod", "libguestfs-tools-disk", "vms");
    expect(await refusal(publish("node-b"))).toContain(
      "no pod of the virtual machine is on node node-b, so nothing can be migrating there",
    );
    api.apply(launcher("stranger", "node-b", "vm2"));
    expect(await refusal(publish("node-b"))).toMatch(
      /^9 FAILED_PRECONDITION: .*pod vms\/launcher-source, pod vms\/stranger belong to different virtual machines/,
    );
    api.delete("Pod", "stranger", "vms");
    api.apply(launcher("launcher-target", "node-b", "vm1"));
    api.apply(migration("Failed"));
    expect(await refusal(publish("node-b"))).toContain(
      "KubeVirt knows of no unfinished migration of virtual machine vms/vm1 to node node-b",
    );
    api.apply(migration("Scheduling"));
    await publish("node-b");
    await until("the gauge", async () => (await metric(ACTIVE)) === `${ACTIVE} 1`);
    await stand.controllerProcess.kill();
    const second = await stand.startController();
    expect(second.ended()).toBeUndefined();
    await until("the gauge", async () => (await metric(ACTIVE)) === `${ACTIVE} 1`);
    api.apply(machine("vm1", "node-b"));
    await stand.controller.controllerUnpublishVolume({ volumeId: ID, nodeId: "node-a" });
    await until("the events", async () => events().some((event) => event.includes("MigrationCompleted")));
    expect(events()).toEqual([
      "Normal MigrationStarted PersistentVolumeClaim/disk",
      "Normal MigrationCompleted PersistentVolumeClaim/disk",
    ]);
    expect(await metric("rds_csi_migration_migrations_total")).toBe(
      'rds_csi_migration_migrations_total{result="success"} 1',
    );
    const [completed] = api.list("Event", "vms").filter(({ reason }) => reason === "MigrationCompleted");
    expect(completed).toMatchObject({
      reportingComponent: "rds.csi.srvlab.io",
      reportingInstance: "controller-0",
      involvedObject: { uid: "uid-disk", namespace: "vms" },
    });
  });

  test("one replica holds the Lease, and volumes list shows what the cluster says otherwise", async () => {
    await until("the lease", async () =>
      api.list("Lease", NAMESPACE).some(({ spec }) => spec.holderIdentity === "controller-0"),
    );
    const list = (...more: string[]) =>
      stand.cli("volumes", "list", ...stand.rdsFlags, "-o", "json", ...more);
    // Without the cluster nobody says its id.
    const plain = await list("--cluster-id", CLUSTER_UID);
    expect(JSON.parse(plain.stdout).items[0].problems).toEqual([]);
    api.apply({
      apiVersion: "storage.k8s.io/v1",
      kind: "VolumeAttachment",
      metadata: { name: "va-node-a" },
      spec: {
        attacher: "rds.csi.srvlab.io",
        nodeName: "node-a",
        source: { persistentVolumeName: api.list("PersistentVolume")[0]?.metadata.name },
      },
      status: { attached: true },
    });
    const compared = await list("--orchestrator", "kubernetes", "--kubeconfig", join(base, "kubeconfig"));
    api.delete("VolumeAttachment", "va-node-a");
    // That of node-b, which was attached just now, may not be listed yet.
    expect(JSON.parse(compared.stdout).items[0].problems).toEqual([
      "Node node-a has a VolumeAttachment, but the volume is not attached to it according to the record",
    ]);
  });

  test("a node that is gone from this cluster loses a ReadWriteMany volume to the next one, under a new NQN", async () => {
    const { publishContext: before } = await publish("node-b");
    api.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "node-c" } });
    for (const name of ["launcher-source", "launcher-target"]) api.delete("Pod", name, "vms");
    api.delete("VirtualMachineInstance", "vm1", "vms");
    api.apply(machine("vm1-anew", "node-c"));
    api.apply(launcher("launcher-anew", "node-c", "vm1-anew"));
    expect(await refusal(publish("node-c"))).toContain("no running pod uses the claim on node node-b");
    api.delete("Node", "node-b");
    const { publishContext: after } = await publish("node-c");
    expect(after.nqn).not.toBe(before.nqn);
    await until("the event", async () => events().some((event) => event.includes("VolumeFenced")));
  });
});
