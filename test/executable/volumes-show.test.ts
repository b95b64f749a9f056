import { afterAll, beforeAll, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { parse } from "yaml";
import { executable, shortDirectory } from "../support/executable.ts";
import { BUILT_IN, FakeApiServer, KUBEVIRT } from "../support/kubernetes/fake-api-server.ts";
import { block, MIB, Mode } from "../support/rpc.ts";
import { type Stand, startStand } from "../support/stand.ts";

const PV = "pvc-0a1b2c3d-0000-4000-8000-000000000001";
let base = "";
let api: FakeApiServer;
let stand: Stand;
let id = "";
let kubernetes: string[] = [];

beforeAll(async () => {
  base = await shortDirectory();
  api = await FakeApiServer.start({ resources: [...BUILT_IN, ...KUBEVIRT] });
  const kubeconfig = await api.writeKubeconfig(join(base, "kubeconfig"));
  // The controller of this stand has no orchestrator.
  kubernetes = ["--orchestrator", "kubernetes", "--kubeconfig", kubeconfig, "--cluster-id", "default"];
  stand = await startStand({ executable, directory: join(base, "s"), startNodes: false });
  const created = await stand.controller.createVolume({
    name: PV,
    capacityRange: { requiredBytes: 8n * MIB },
    volumeCapabilities: [block(Mode.MULTI_NODE_MULTI_WRITER)],
    parameters: { "csi.storage.k8s.io/pvc/namespace": "vms", "csi.storage.k8s.io/pvc/name": "disk" },
  });
  id = created.volume?.volumeId ?? "";
  const { publishContext } = await stand.controller.controllerPublishVolume({
    volumeId: id,
    nodeId: "node-a",
    volumeCapability: block(Mode.MULTI_NODE_MULTI_WRITER),
  });
  for (const name of ["node-a", "node-b"]) api.apply({ apiVersion: "v1", kind: "Node", metadata: { name } });
  api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "StorageClass",
    metadata: { name: "rds" },
    provisioner: "rds.csi.srvlab.io",
    reclaimPolicy: "Delete",
    parameters: { pool: "storage-pool" },
  });
  const claim = api.apply({
    apiVersion: "v1",
    kind: "PersistentVolumeClaim",
    metadata: { name: "disk", namespace: "vms" },
    spec: { volumeName: PV, storageClassName: "rds", resources: { requests: { storage: "8Mi" } } },
    status: { phase: "Bound", capacity: { storage: "8Mi" } },
  });
  api.apply({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: PV },
    spec: {
      csi: { driver: "rds.csi.srvlab.io", volumeHandle: id },
      capacity: { storage: "8Mi" },
      accessModes: ["ReadWriteMany"],
      volumeMode: "Block",
      storageClassName: "rds",
      persistentVolumeReclaimPolicy: "Delete",
      claimRef: { namespace: "vms", name: "disk", uid: claim.metadata.uid },
    },
    status: { phase: "Bound" },
  });
  api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name: "csi-1" },
    spec: { attacher: "rds.csi.srvlab.io", nodeName: "node-a", source: { persistentVolumeName: PV } },
    status: { attached: true, attachmentMetadata: publishContext },
  });
  api.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "user", namespace: "vms" },
    spec: { nodeName: "node-a", volumes: [{ name: "d", persistentVolumeClaim: { claimName: "disk" } }] },
    status: { phase: "Running" },
  });
  api.apply({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: "disk.1", namespace: "vms" },
    involvedObject: { kind: "PersistentVolumeClaim", name: "disk", namespace: "vms" },
    type: "Normal",
    reason: "ProvisioningSucceeded",
    message: "made \u001b[2J it",
    lastTimestamp: "2026-03-01T12:00:00Z",
  });
  // Its background jobs send commands at any time.
  expect(await stand.controllerProcess.stop()).toBe("0");
}, 240_000);
afterAll(async () => {
  await stand?.close();
  await api?.stop();
  await rm(base, { recursive: true });
});

const show = (...args: string[]) => stand.cli("volumes", "show", ...stand.rdsFlags, ...args);

test("a volume on which everything agrees, by each of its names; four RouterOS commands that change nothing", async () => {
  for (const name of [["vms/disk"], ["disk", "-n", "vms"], ["disk"], [PV], [id]]) {
    const sent = await stand.control.commandsDuring(async () => {
      const { code, stdout, stderr } = await show(...name, ...kubernetes, "-o", "json", "--fail-on-problems");
      expect(stderr).toBe("");
      const document = JSON.parse(stdout);
      expect(document).toMatchObject({ kind: "Volume", handle: id, state: "attached", drift: [] });
      expect(document.kubernetes).toMatchObject({
        claim: { state: "known", value: { phase: "Bound", requestedBytes: 8_388_608 } },
        storageClass: { value: { parameters: { pool: "storage-pool" } } },
        attachments: {
          value: [
            {
              node: "node-a",
              metadata: { nqn: expect.stringMatching(new RegExp(`:${id}\\.1-[0-9a-f]{8}$`)) },
            },
          ],
        },
        pods: { value: [{ name: "user", node: "node-a", phase: "Running" }] },
        events: { value: [{ reason: "ProvisioningSucceeded", time: "2026-03-01T12:00:00Z" }] },
      });
      expect(document.rds).toMatchObject({
        file: { state: "known", value: { path: `storage-pool/csi/${id}/disk.img`, sizeBytes: 8_388_608 } },
        pool: { state: "known", value: { slot: "storage-pool" } },
      });
      expect(code).toBe(0);
    });
    expect(sent.map(({ mutated }) => mutated)).toEqual([false, false, false, false]);
  }
});

test("table and yaml; control characters of the cluster are escaped", async () => {
  const table = await show("vms/disk", ...kubernetes);
  expect([table.code, table.stderr]).toEqual([0, ""]);
  expect(table.stdout).toMatch(new RegExp(`^Volume ${id}: attached\\n\\n +RDS +Kubernetes\\n`));
  expect(table.stdout).toContain("made \\u{1b}[2J it");
  expect(table.stdout).toMatch(/\n {3}nodes +node-a: attached \d+s ago +node-a: attached\n/);
  const [json, yaml] = [
    await show(id, ...kubernetes, "-o", "json"),
    await show(id, ...kubernetes, "-o", "yaml"),
  ];
  const untimed = ({ time, ...rest }: { time: string }) => rest;
  expect(untimed(parse(yaml.stdout))).toEqual(untimed(JSON.parse(json.stdout)));
});

test("drift: exit 3 with --fail-on-problems", async () => {
  const attachment = api.get("VolumeAttachment", "csi-1");
  const metadata = { ...attachment.status.attachmentMetadata, nqn: "nqn.2000-02.com.mikrotik:old.0" };
  api.apply({ ...attachment, status: { attached: true, attachmentMetadata: metadata } });
  const { code, stdout } = await show("disk", ...kubernetes, "--fail-on-problems");
  api.apply(attachment);
  expect(code).toBe(3);
  expect(stdout).toContain(
    "!! attached-nqn: The publish context of node node-a has NQN nqn.2000-02.com.mikrotik:old.0",
  );
});

test("without a cluster: the RDS side, and that the cluster was not asked", async () => {
  const { code, stdout } = await show("vms/disk", "--fail-on-problems");
  expect(code).toBe(0);
  expect(stdout).toContain("Kubernetes: --orchestrator is none");
  const missing = await show("vms/nothing");
  expect(missing.code).toBe(1);
  expect(missing.stderr).toMatch(/^rds-csi: no volume is called "vms\/nothing": the RDS \S+ has 1 volume,/);
  expect(missing.stderr).toContain("the cluster was not asked (--orchestrator is none)");
});

test("with the cluster down: the RDS side with the reason; a check that could not look fails", async () => {
  await api.down();
  const plain = await show("vms/disk", ...kubernetes);
  const strict = await show("vms/disk", ...kubernetes, "--fail-on-problems");
  await api.up();
  expect([plain.code, strict.code]).toEqual([0, 1]);
  expect(plain.stdout).toMatch(
    /Not known:\n {3}Kubernetes: Kubernetes could not be asked to list persistentvolumes/,
  );
});

test("what this user may not read is unknown, the rest is not", async () => {
  api.rules = [
    { apiGroups: [""], resources: ["persistentvolumes", "nodes", "pods"], verbs: ["get", "list"] },
    { apiGroups: ["storage.k8s.io"], resources: ["volumeattachments"], verbs: ["list"] },
  ] as never;
  const { code, stdout } = await show(id, ...kubernetes, "-o", "json");
  api.rules = undefined;
  expect(code).toBe(0);
  const { kubernetes: cluster, drift } = JSON.parse(stdout);
  expect(drift).toEqual([]);
  expect([cluster.persistentVolume.state, cluster.attachments.state, cluster.pods.state]).toEqual([
    "known",
    "known",
    "known",
  ]);
  expect([cluster.claim.state, cluster.storageClass.state, cluster.events.state]).toEqual([
    "unknown",
    "unknown",
    "unknown",
  ]);
  expect(cluster.claim.reason).toContain("persistentvolumeclaim");
});

test("wrong usage: exit 2", async () => {
  for (const args of [["a/b/c"], ["a/b", "-n", "c"], []]) expect((await show(...args)).code).toBe(2);
});

test("with the RDS down: the cluster side and exit 1", async () => {
  await stand.simulator.stop();
  const { code, stdout } = await show("vms/disk", ...kubernetes, "--timeout", "4");
  expect(code).toBe(1);
  expect(stdout).toMatch(new RegExp(`^Volume ${id}: unknown\\n`));
  expect(stdout).toContain("vms/user Running on node-a");
  expect(stdout).toMatch(/Not known:\n {3}RDS: the RDS at \S+ is not reachable/);
  const neither = await show("vms/disk", "--timeout", "4");
  expect([neither.code, neither.stderr]).toEqual([1, ""]);
  expect(neither.stdout).toMatch(/^Volume vms\/disk: unknown\n/);
  expect(neither.stdout).toMatch(/Not known:\n {3}RDS: the RDS at \S+ is not reachable/);
});
