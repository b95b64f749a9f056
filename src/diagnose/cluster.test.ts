import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { diagnosisSchema } from "../../scripts/lib/docs/diagnosis-schema.ts";
import { problemsOf } from "../../test/support/diagnosis-schema.ts";
import { FakeApiServer } from "../../test/support/kubernetes/fake-api-server.ts";
import { BLOCK, hostKeyPin, MIB, type Stack, startStack } from "../../test/support/rds-stack.ts";
import { renderDiagnosis } from "../cli/diagnose/render.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { known, notAsked } from "../inspect/fact.ts";
import { bundleOf, createBundle } from "./bundle.ts";
import { diagnose } from "./diagnosis.ts";
import { diagnosisDocument } from "./document.ts";
import { gather } from "./gather.ts";
import { DRIVER, FakeNode, told } from "./node.fixture.ts";

/** Size of the recorded device. */
const SIZE = 300n * MIB;

let stack: Stack;
let api: FakeApiServer;
let node: FakeNode;
let id: VolumeId;
let nqn: string;

beforeAll(async () => {
  stack = await startStack();
  api = await FakeApiServer.start();
  const made = await stack.volumes.create({
    name: "pvc-1",
    range: { requiredBytes: SIZE, limitBytes: 0n },
    capabilities: [BLOCK],
    parameters: {},
    mutableParameters: {},
    source: undefined,
    signal: stack.signal,
  });
  id = made.id;
});
afterAll(async () => {
  await api.stop();
  await stack.close();
});

const publish = () =>
  stack.attachments.publish({
    volumeId: id,
    nodeId: "node-a",
    capability: BLOCK,
    readonly: false,
    signal: stack.signal,
  });
const attachment = (nodeName: string, more: object = {}) => ({
  apiVersion: "storage.k8s.io/v1",
  kind: "VolumeAttachment",
  metadata: { name: `va-${nodeName}` },
  spec: { attacher: DRIVER, nodeName, source: { persistentVolumeName: "pv-1" } },
  status: {
    attached: true,
    attachmentMetadata: { nqn, address: "127.0.0.1", sizeBytes: String(SIZE) },
  },
  ...more,
});

beforeEach(async () => {
  ({ nqn } = await publish());
  node = await FakeNode.start(nqn);
  node.config = {
    ...node.config,
    orchestrator: "kubernetes",
    kubeconfig: await api.writeKubeconfig(join(node.directory, "kubeconfig")),
    rds: known({
      host: stack.simulator.host,
      port: stack.simulator.port,
      user: "csi",
      keyFile: stack.keyFile,
      passphraseFile: undefined,
      hostKeys: stack.simulator.hostKeyFingerprints.map(hostKeyPin),
      hostKeyFile: undefined,
      channels: 4,
    }),
  };
  api.apply({
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: "pv-1" },
    spec: {
      csi: { driver: DRIVER, volumeHandle: id },
      volumeMode: "Block",
      accessModes: ["ReadWriteOnce"],
      claimRef: { namespace: "vms", name: "disk", uid: "u" },
    },
    status: { phase: "Bound" },
  });
  api.apply(attachment("node-a"));
  api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: { name: "node-a" },
    spec: { drivers: [{ name: DRIVER, nodeID: "node-a", topologyKeys: [] }] },
  });
  api.apply({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "vm", namespace: "vms", uid: "p" },
    spec: { nodeName: "node-a", volumes: [{ name: "d", persistentVolumeClaim: { claimName: "disk" } }] },
    status: { phase: "Running" },
  });
  // The pod has it, as a device node.
  node.mounts("91 22 0:5 /nvme0n1 /var/lib/kubelet/pods/p/d rw - devtmpfs udev rw");
});
afterEach(async () => {
  await node.close();
  api.rules = undefined;
  api.faults.length = 0;
  api.delete("VolumeAttachment", "va-node-a");
});

test("well: the chain is complete from the PersistentVolume to the pod", async () => {
  const report = await node.diagnose();
  expect(told(report)).toEqual([]);
  expect(report.volumes).toMatchObject([{ handle: id, persistentVolume: "pv-1", claim: "vms/disk" }]);
  const states = report.volumes[0]?.links.map(({ link, state }) => `${link} ${state}`);
  expect(states).toEqual([
    "persistentVolume ok",
    "volumeAttachment ok",
    "record ok",
    "export ok",
    "nqn ok",
    "controller ok",
    "device ok",
    "staging none",
    "pods ok",
  ]);
});

test("record drift: the record was cleared by hand, the cluster still attaches", async () => {
  await stack.attachments.unpublish(id, "node-a", stack.signal);
  node.sysfs.state = "connecting";
  const report = await node.diagnose();
  expect(told(report)[0]).toBe("va-without-attachment");
  expect(told(report)).toContain("volume-not-attached < va-without-attachment");
  expect(report.volumes[0]?.brokenAt).toBe("record");
});

test("record drift: the VolumeAttachment is another node's", async () => {
  api.delete("VolumeAttachment", "va-node-a");
  api.apply(attachment("node-b"));
  const young = await node.diagnose();
  const report = await node.diagnose({ laterMs: 61_000 });
  api.delete("VolumeAttachment", "va-node-b");
  api.apply(attachment("node-a"));
  // That of an attachment that was just made may not be listed yet.
  expect(told(young)).toEqual(["va-without-attachment"]);
  expect(told(report)).toEqual(["attachment-without-va", "va-without-attachment"]);
  expect(report.findings.map(({ evidence }) => evidence[0])).toEqual([
    "It is attached to node-a, which has no VolumeAttachment for it",
    "Node node-b has a VolumeAttachment, but the volume is not attached to it according to the record",
  ]);
});

test("API server down: one finding, everything else is shown", async () => {
  await api.down();
  const report = await node.diagnose();
  await api.up();
  expect(told(report)).toEqual(["kubernetes-unreachable"]);
  expect(report.volumes[0]?.links.find(({ link }) => link === "record")?.state).toBe("ok");
  expect(report.volumes[0]?.links.find(({ link }) => link === "volumeAttachment")?.state).toBe("unknown");
});

test("API server and RDS down, and the API server hangs: in time, and the local part is shown", async () => {
  api.faults.push({ hang: true, times: 100 });
  if (node.config.rds.state !== "known") throw new Error("the test has no RDS");
  node.config = { ...node.config, rds: known({ ...node.config.rds.value, port: 1 }) };
  const report = await node.diagnose({ limitMs: 2_000 });
  expect([...told(report)].sort()).toEqual(["kubernetes-unreachable", "rds-unreachable"]);
  expect(report.volumes[0]?.links.find(({ link }) => link === "controller")?.state).toBe("ok");
});

test("the RDS lets the user in and refuses to be read", async () => {
  stack.simulator.faults.add(
    { kind: "permissionMissing", policy: "read" },
    { count: Number.POSITIVE_INFINITY },
  );
  const report = await node.diagnose();
  stack.simulator.faults.clear();
  expect(told(report)).toEqual(["rds-permission-missing"]);
});

test("an RDS with another host key is not talked to", async () => {
  if (node.config.rds.state !== "known") throw new Error("the test has no RDS");
  const hostKeys = [hostKeyPin(`SHA256:${"A".repeat(43)}`)];
  node.config = { ...node.config, rds: known({ ...node.config.rds.value, hostKeys }) };
  stack.commandsSince();
  expect(told(await node.diagnose())).toEqual(["rds-host-key-mismatch"]);
  expect(stack.commandsSince()).toEqual([]);
});

test("the RDS is only read", async () => {
  stack.commandsSince();
  await node.diagnose();
  const commands = stack.commandsSince();
  expect(commands.length).toBeGreaterThan(1);
  expect(commands.filter((line) => /\/(set|add|remove|enable|disable|unset)\b/.test(line))).toEqual([]);
  expect(api.accesses.filter(({ verb }) => !["get", "list"].includes(verb))).toEqual([]);
});

test("what Kubernetes forbids is said, and the rest is read", async () => {
  api.rules = [
    {
      apiGroups: ["", "storage.k8s.io"],
      resources: ["persistentvolumes", "volumeattachments"],
      verbs: ["list"],
    },
  ];
  const report = await node.diagnose();
  expect(told(report)).toEqual(["kubernetes-forbidden"]);
  expect(report.findings[0]?.evidence).toHaveLength(2);
});

test("PersistentVolumes that may not be read: VolumeAttachments cannot be understood, and are not taken for absent", async () => {
  node.mounts();
  node.config = { ...node.config, rds: notAsked("no credentials") };
  api.rules = [
    { apiGroups: ["storage.k8s.io"], resources: ["volumeattachments", "csinodes"], verbs: ["get", "list"] },
    { apiGroups: [""], resources: ["pods"], verbs: ["list"] },
  ];
  const report = await node.diagnose();
  // Neither a leftover, to be disconnected by hand, nor drift.
  expect(told(report)).toEqual(["kubernetes-forbidden"]);
});

test("connections that cannot be read: said, and the volume is not called unconnected", async () => {
  const directory = join(node.sysfs.root, "class/nvme");
  rmSync(directory, { recursive: true });
  writeFileSync(directory, "");
  const report = await node.diagnose();
  expect(told(report)).toContain("check-unanswered");
  expect(told(report)).not.toContain("volume-not-connected");
  const states = Object.fromEntries(report.volumes[0]?.links.map(({ link, state }) => [link, state]) ?? []);
  expect(states).toMatchObject({ nqn: "unknown", controller: "unknown", device: "unknown" });
});

test("a connection that nobody should have is a leftover only where every process could be looked into", async () => {
  await stack.attachments.unpublish(id, "node-a", stack.signal);
  api.delete("VolumeAttachment", "va-node-a");
  api.delete("Pod", "vm", "vms");
  node.mounts();
  expect(told(await node.diagnose())).toEqual(["leftover-connection"]);
  node.hidden = 1;
  expect(told(await node.diagnose())).toEqual(["volume-not-attached"]);
  // What is taken away after every test.
  api.apply(attachment("node-a"));
});

test("the registrar does not run: CSINode lacks the driver as well", async () => {
  api.apply({
    apiVersion: "storage.k8s.io/v1",
    kind: "CSINode",
    metadata: { name: "node-a" },
    spec: { drivers: [] },
  });
  node.remove(`kubelet/plugins_registry/${DRIVER}-reg.sock`);
  expect(told(await node.diagnose())).toEqual([
    "plugin-registration-missing",
    "csinode-driver-missing < plugin-registration-missing",
  ]);
});

test("every form of the report is right and fits; JSON is as its schema says", async () => {
  node.sysfs.state = "connecting";
  await stack.attachments.unpublish(id, "node-a", stack.signal);
  const report = await node.diagnose();
  const document = diagnosisDocument(report);
  expect(problemsOf(diagnosisSchema, document)).toEqual([]);
  expect(problemsOf(diagnosisSchema, { ...document, worst: "bad" })).toEqual([
    '$.worst: "bad" is none of the values',
  ]);
  for (const width of [80, 160]) {
    const text = renderDiagnosis(report, { format: "table", width, colour: false });
    for (const line of text.split("\n")) {
      // Only a word without blanks may be longer.
      expect([line, [...line].length <= width || !line.trim().slice(8).trim().includes("  ")]).toEqual([
        line,
        true,
      ]);
    }
    expect(text).not.toContain("\u001b");
  }
  const coloured = renderDiagnosis(report, { format: "table", width: 80, colour: true });
  expect(coloured).toContain("\u001b[");
});

test("a bundle holds the facts and no secret, and nothing is overwritten", async () => {
  const { readFile, writeFile } = await import("node:fs/promises");
  const canary = await readFile(stack.keyFile, "utf8");
  const passphraseFile = join(node.directory, "passphrase");
  await writeFile(passphraseFile, "canary-passphrase");
  if (node.config.rds.state !== "known") throw new Error("the test has no RDS");
  node.config = { ...node.config, rds: known({ ...node.config.rds.value, passphraseFile }) };
  node.write("dev/kmsg", node.kernelSays(5, `nvme nvme0: ${canary.replaceAll("\n", " ")}`));
  const gathered = await gather(node.context(), 5_000, new AbortController().signal);
  const report = diagnose(gathered, 0, 0);
  const text = bundleOf(report, node.config);
  const json = JSON.stringify(diagnosisDocument(report));
  const body = canary.split("\n")[2] ?? "";
  expect(body.length).toBeGreaterThan(20);
  const token = readFileSync(node.config.kubeconfig ?? "", "utf8").match(/token: (\S+)/)?.[1] ?? "test-token";
  for (const secret of [body, "canary-passphrase", token, stack.keyFile])
    expect(`${text}${json}`).not.toContain(secret);
  expect(JSON.parse(text)).toMatchObject({
    kind: "DiagnosisBundle",
    config: { rds: { user: "csi", pins: 1 } },
  });
  const path = join(node.directory, "bundle.json");
  const file = await createBundle(path);
  await file.write(text);
  await file.close();
  expect(await readFile(path, "utf8")).toBe(text);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(existsSync(path)).toBe(true);
  await expect(createBundle(path)).rejects.toThrow("EEXIST");
  const unwritten = join(node.directory, "unwritten.json");
  await (await createBundle(unwritten)).close();
  expect(existsSync(unwritten)).toBe(false);
});
