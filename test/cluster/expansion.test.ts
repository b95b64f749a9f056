import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { INSIDE } from "./machine.ts";
import { until } from "./run.ts";
import { api, attachmentsOf, cluster, growsExt4, Scope } from "./world.ts";

const scope = new Scope("expansion");
const [A] = NODES;
const CLAIM = "PersistentVolumeClaim";
const XFS = "expansion-xfs";
const MIB = 2 ** 20;
const CONTROLLER = ["exec", "-n", "rds-csi", "deploy/rds-csi-controller", "--", "rds-csi"];

/** When the RDS shows hosts a new size: at once, or only after another export. */
const showSizes = (when: "at-once" | "after-reexport") => cluster.rds.switches({ "online-resize": when });

beforeAll(() => scope.storageClass("xfs", { "csi.storage.k8s.io/fstype": "xfs" }));
afterAll(() => showSizes("after-reexport"));

async function grow(claim: string, size: string): Promise<void> {
  const patch = { spec: { resources: { requests: { storage: size } } } };
  await api.patch(CLAIM, claim, scope.namespace, patch);
}

/** Waits until the claim says that it has a size: kubelet has grown it then. */
function grown(claim: string, size: string, timeoutMs?: number): Promise<Thing> {
  const has = ({ status }: Thing) => status.capacity?.storage === size && status.conditions === undefined;
  return api.await(CLAIM, claim, scope.namespace, `with ${size}`, has, timeoutMs);
}

/** MiB of the filesystem that a pod has at /data. */
async function filesystemMib(pod: string): Promise<number> {
  return Number(await scope.shell(pod, "df -m /data | tail -n 1 | tr -s ' ' | cut -d ' ' -f 2"));
}

const blockBytes = async (pod: string) => Number(await scope.shell(pod, "blockdev --getsize64 /dev/vol"));

async function restarts(pod: string): Promise<number> {
  return (await api.get("Pod", pod, scope.namespace)).status.containerStatuses[0].restartCount;
}

/** How often a node has been asked to grow volumes, by the code of its answer. */
async function calls(node: string): Promise<Record<string, number>> {
  const get = ["wget", "-q", "-O", "-", "http://127.0.0.1:29809/metrics"];
  const text = await cluster.node(node).run(`${INSIDE.bin}/busybox`, get);
  const found = text.matchAll(
    /^rds_csi_operations_total\{method="NodeExpandVolume",grpc_code="(\w+)"\} (\d+)$/gm,
  );
  return Object.fromEntries([...found].map(([, code, count]) => [code, Number(count)]));
}

async function more(node: string, code: string, before: Record<string, number>): Promise<number> {
  return ((await calls(node))[code] ?? 0) - (before[code] ?? 0);
}

/** Makes what kubelet keeps of a pod's volume look as old as of a pod that has run for a while. */
async function age(pod: string): Promise<void> {
  const { metadata } = await api.get("Pod", pod, scope.namespace);
  const kubelet = "/var/lib/kubelet";
  const { spec } = await api.get(CLAIM, pod, scope.namespace);
  const places = `${kubelet}/pods/${metadata.uid}/volumes ${kubelet}/plugins/kubernetes.io/csi/volumeDevices/publish/${spec.volumeName}`;
  // Not into the volume itself.
  const find = `find ${places} -xdev -mindepth 0 ! -name mount 2>/dev/null`;
  await cluster.node(A).run("sh", ["-c", `${find} | xargs touch -h -d '10 minutes ago'`]);
}

describe("a volume in use grows, and its pod is not restarted", () => {
  for (const [fsType, skipped] of [
    ["xfs", ""],
    ["ext4", growsExt4 ? "" : " (skipped: root has no CAP_SYS_RESOURCE here)"],
  ] as const) {
    test.skipIf(skipped !== "")(`${fsType}${skipped}`, async () => {
      await showSizes("at-once");
      await scope.claim(fsType, { size: "320Mi", storageClass: fsType === "xfs" ? XFS : "rds" });
      await scope.pod(fsType, { claims: [fsType], node: A });
      await scope.ready(fsType);
      const before = await filesystemMib(fsType);
      await scope.shell(fsType, "dd if=/dev/urandom of=/data/f bs=1M count=16 2>/dev/null; sync");
      const sum = await scope.shell(fsType, "sha256sum /data/f");
      await grow(fsType, "640Mi");
      await grown(fsType, "640Mi");
      expect(await filesystemMib(fsType)).toBeGreaterThan(before + 250);
      expect(await scope.shell(fsType, "sha256sum /data/f")).toBe(sum);
      expect(await restarts(fsType)).toBe(0);
      await scope.remove(fsType);
      await scope.drop(fsType);
    });
  }

  test("block", async () => {
    await showSizes("at-once");
    await scope.claim("block", { block: true });
    await scope.pod("block", { claims: ["block"], block: true, node: A });
    await scope.ready("block");
    await grow("block", "128Mi");
    await grown("block", "128Mi");
    expect(await blockBytes("block")).toBe(128 * MIB);
    expect(await restarts("block")).toBe(0);
    await scope.remove("block");
    await scope.drop("block");
  });
});

test("a volume without a pod grows, and its next pod finds the size", async () => {
  await scope.claim("idle", { size: "320Mi", storageClass: XFS });
  await scope.bound("idle");
  await grow("idle", "640Mi");
  const pending = ({ status }: Thing) =>
    status.conditions?.some(({ type }: Thing) => type === "FileSystemResizePending");
  await api.await(CLAIM, "idle", scope.namespace, "to wait for a pod", pending);
  await scope.pod("idle", { claims: ["idle"], node: A });
  await scope.ready("idle");
  await grown("idle", "640Mi");
  expect(await filesystemMib("idle")).toBeGreaterThan(500);
  await scope.remove("idle");
  await scope.drop("idle");
});

describe("while the device does not show the new size", () => {
  test("kubelet asks again, and running pods get it without a restart once it is shown", async () => {
    await showSizes("after-reexport");
    const pods = [
      { pod: "late-fs", block: false },
      { pod: "late-block", block: true },
    ];
    for (const { pod, block } of pods) {
      await scope.claim(pod, { size: "320Mi", storageClass: XFS, block });
      await scope.pod(pod, { claims: [pod], block, node: A });
      await scope.ready(pod);
      await age(pod);
    }
    const before = await calls(A);
    for (const { pod } of pods) await grow(pod, "640Mi");
    // Three answers for each take 25 s each.
    await until("kubelet's third calls", async () => (await more(A, "UNAVAILABLE", before)) >= 6, {
      timeoutMs: 180_000,
      explain: async () => JSON.stringify(await calls(A)),
    });
    for (const { pod } of pods) {
      expect((await api.get(CLAIM, pod, scope.namespace)).status.capacity.storage).toBe("320Mi");
      await scope.event(
        "Pod",
        pod,
        "VolumeResizeFailed",
        /still shows 335544320 bytes after 25 s of rescanning/,
      );
    }
    await showSizes("at-once");
    // Hosts see it with the next line that the RDS runs.
    await cluster.kubectl([...CONTROLLER, "volumes", "list"]);
    for (const { pod, block } of pods) {
      await grown(pod, "640Mi");
      if (block) expect(await blockBytes(pod)).toBe(640 * MIB);
      else expect(await filesystemMib(pod)).toBeGreaterThan(500);
      expect(await restarts(pod)).toBe(0);
    }
    expect(await more(A, "FAILED_PRECONDITION", before)).toBe(0);
    for (const { pod } of pods) await scope.remove(pod);
    for (const { pod } of pods) await scope.drop(pod);
  });

  test("a pod that starts is not kept from it, and a new attachment brings the size", async () => {
    await showSizes("after-reexport");
    await scope.claim("young", { size: "320Mi", storageClass: XFS });
    await scope.pod("young", { claims: ["young"], node: A });
    await scope.ready("young");
    const before = await calls(A);
    await grow("young", "640Mi");
    await until(
      "the answer to kubelet's call",
      async () => (await more(A, "FAILED_PRECONDITION", before)) === 1,
      {
        timeoutMs: 60_000,
      },
    );
    const { volumeName } = (await api.get(CLAIM, "young", scope.namespace)).spec;
    await scope.remove("young");
    await until("the end of its attachment", async () => (await attachmentsOf(volumeName)).length === 0);
    await scope.pod("young", { claims: ["young"], node: A });
    await scope.ready("young");
    await grown("young", "640Mi");
    expect(await filesystemMib("young")).toBeGreaterThan(500);
    expect(await more(A, "UNAVAILABLE", before)).toBe(0);
    await scope.remove("young");
    await scope.drop("young");
  });
});
