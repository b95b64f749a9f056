import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isReady, type Thing } from "./api.ts";
import { NODES, THIRD } from "./cluster.ts";
import { BUSYBOX } from "./images.ts";
import { ASKED_FOR, runKubelet } from "./node.ts";
import { attempt, until } from "./run.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { api, attachedNodes, awaitNodes, cluster, diskOf, refusal, Scope } from "./world.ts";

/**
 * Tests that take the third node away, which no other file uses. They stand in the order in which they leave it whole, and wait for minutes
 * while the others run.
 */
const C = THIRD;
const skipped = cluster.nodes.some(({ name }) => name === THIRD)
  ? ""
  : " (skipped: the cluster has two nodes)";

// Before the scope's own end, which needs every kubelet.
afterAll(async () => {
  if (skipped !== "") return;
  await cluster.node(C).signal("kubelet", "CONT");
  if (!(await cluster.node(C).signal("kubelet", "0"))) await runKubelet(cluster.node(C), NODES.length);
  await cluster.kubectl(["uncordon", C]);
});
const scope = new Scope("third");
const [A, B] = NODES;
const CLAIM = "PersistentVolumeClaim";
/** maxWaitForUnmountDuration of the attach-detach controller, which no flag changes. */
const MAX_WAIT_FOR_UNMOUNT_MS = 360_000;
const disk = { mode: "ReadWriteMany", block: true, storageClass: "third-vm" } as const;
beforeAll(() => scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "auto" }));

const WRITE = "for d in /dev/vol*; do dd if=/dev/urandom of=$d bs=1M count=8 2>/dev/null; done; sync";
const READ = "for d in /dev/vol*; do dd if=$d bs=1M count=8 2>/dev/null | sha256sum; done";

async function newDisk(name: string): Promise<string> {
  await scope.claim(name, disk);
  return (await scope.bound(name)).metadata.name;
}

/** Waits until the third node has nothing of a volume left: no attachment, loop device or mount. */
async function isClean(): Promise<void> {
  const left = async () => {
    const attachments = (await api.list("VolumeAttachment")).filter(({ spec }) => spec.nodeName === C);
    const look = `set -e; cd /var/lib/rds-csi/${C}; ls | grep device || true; grep -E 'kubernetes.io~csi|volumeDevices' /proc/self/mountinfo || true`;
    const seen = await cluster.node(C).run("sh", ["-c", look]);
    return [...attachments.map(({ spec }) => spec.source.persistentVolumeName), seen.trim()].join("\n");
  };
  await until(`${C} to be clean`, async () => (await left()) === "", { timeoutMs: 120_000, explain: left });
}

/** A pod template that prefers the third node and may go elsewhere. */
function template(name: string, volumes: readonly Thing[]): Thing {
  const term = { matchExpressions: [{ key: "kubernetes.io/hostname", operator: "In", values: [C] }] };
  return {
    metadata: { labels: { app: name } },
    spec: {
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      tolerations: [ASKED_FOR],
      affinity: {
        nodeAffinity: {
          preferredDuringSchedulingIgnoredDuringExecution: [{ weight: 100, preference: term }],
        },
      },
      containers: [
        {
          name: "c",
          image: BUSYBOX,
          imagePullPolicy: "Never",
          command: ["sleep", "2147483647"],
          volumeMounts: [{ name: "data", mountPath: "/data" }],
        },
      ],
      volumes,
    },
  };
}

/** Waits until a workload has one ready pod, other than those given. @returns the pod */
function podOf(app: string, others: readonly string[] = []): Promise<Thing> {
  return until(
    `a ready pod of ${app}`,
    async () => {
      const pods = await api.list("Pod", scope.namespace, `?labelSelector=app=${app}`);
      const found = pods.find(({ metadata }) => !others.includes(metadata.uid));
      if (found === undefined) return undefined;
      return await scope.ready(found.metadata.name, 5_000);
    },
    { timeoutMs: 120_000 },
  );
}

describe.skipIf(skipped !== "")(`with a third node${skipped}`, () => {
  test("a live migration between two nodes refuses it at once, says so, and goes on", async () => {
    const volume = await newDisk("crowded");
    const machine = new PlayedMachine(scope, "crowded", ["crowded"]);
    await machine.start(A);
    await machine.running();
    await scope.shell(machine.pod, WRITE);
    const sum = await scope.shell(machine.pod, READ);
    const migration = await machine.migrate(B);
    await migration.ready();
    await awaitNodes(volume, A, B);
    const launcher = await machine.launch(C);
    const text = /attached to two nodes already: node-1 and node-2/;
    await refusal(volume, C, text);
    // The sidecar tells the refusal at the first call; the driver's own event follows once it has lasted.
    const described = await scope.describeClaim("crowded");
    expect(described).not.toContain("AttachmentConflict");
    await scope.event("Pod", launcher, "FailedAttachVolume", text);
    await scope.remove(launcher);
    const other = new PlayedMachine(scope, "crowding", ["crowded"]);
    await other.start(C);
    await refusal(volume, C, text);
    await scope.event("Pod", other.pod, "FailedAttachVolume", text);
    await other.stop();
    expect(await attachedNodes(volume)).toEqual([A, B]);
    await migration.succeed();
    await awaitNodes(volume, B);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await machine.stop();
    await scope.drop("crowded");
    await isClean();
  });

  test("kubectl drain moves its machine and its pods to other nodes with all data, ends, and leaves nothing attached", async () => {
    for (const name of ["vm-root", "vm-data"]) await newDisk(name);
    const machine = new PlayedMachine(scope, "drained", ["vm-root", "vm-data"]);
    await machine.start(C);
    await machine.running();
    await machine.protect();
    await scope.shell(machine.pod, WRITE);
    const disks = await scope.shell(machine.pod, READ);
    await scope.claim("app");
    const claim = [{ name: "data", persistentVolumeClaim: { claimName: "app" } }];
    const spec = { accessModes: ["ReadWriteOnce"], storageClassName: "rds" };
    const owned = {
      metadata: { name: "data" },
      spec: { ...spec, resources: { requests: { storage: "64Mi" } } },
    };
    const workload = (kind: string, name: string, volumes: readonly Thing[], more: Thing) => ({
      apiVersion: "apps/v1",
      kind,
      metadata: { name, namespace: scope.namespace },
      spec: {
        replicas: 1,
        selector: { matchLabels: { app: name } },
        template: template(name, volumes),
        ...more,
      },
    });
    await api.apply(workload("Deployment", "app", claim, {}));
    await api.apply(workload("StatefulSet", "db", [], { serviceName: "db", volumeClaimTemplates: [owned] }));
    const before = new Map<string, { readonly uid: string; readonly sum: string }>();
    for (const name of ["app", "db"]) {
      const pod = await podOf(name);
      expect(pod.spec.nodeName).toBe(C);
      const write = "dd if=/dev/urandom of=/data/f bs=64k count=16 2>/dev/null; sync; sha256sum /data/f";
      before.set(name, { uid: pod.metadata.uid, sum: await scope.shell(pod.metadata.name, write) });
    }

    const log = join(cluster.place.state, "drain.log");
    const kubectl = join(cluster.place.programs, "bin/kubectl");
    const drain = `exec ${kubectl} drain ${C} --ignore-daemonsets --timeout=240s >${log} 2>&1`;
    const drained = attempt("sh", ["-c", drain], {
      env: { KUBECONFIG: cluster.kubeconfig },
      timeoutMs: 300_000,
    });
    const said = () => readFile(log, "utf8").catch(() => "");
    try {
      const refused = new RegExp(`pods/"${machine.pod}".*violate the pod's disruption budget`);
      await until("the refused eviction", async () => refused.test(await said()), { explain: said });
      const migration = await machine.evacuate(A);
      await migration.ready();
      await migration.succeed();
      expect([(await drained).code, await said()]).toEqual([0, expect.stringContaining(`node/${C} drained`)]);
    } finally {
      // It goes on by itself, and would cordon the node again.
      await drained;
      await cluster.kubectl(["uncordon", C]);
    }

    expect(await scope.shell(machine.pod, READ)).toBe(disks);
    for (const [name, { uid, sum }] of before) {
      const pod = await podOf(name, [uid]);
      expect(NODES as readonly string[]).toContain(pod.spec.nodeName);
      expect(await scope.shell(pod.metadata.name, "sha256sum /data/f")).toBe(sum);
    }
    await isClean();
    await api.delete("Deployment", "app", scope.namespace);
    await api.delete("StatefulSet", "db", scope.namespace);
    await machine.stop();
    for (const name of ["vm-root", "vm-data", "app", "data-db-0"]) {
      await until(`the pods of ${name}`, async () => (await api.list("Pod", scope.namespace)).length === 0);
      await scope.drop(name);
    }
  });
});

/** Waits until the cluster counts the third node as ready, or no more. */
function awaitReady(ready: boolean): Promise<unknown> {
  return api.await(
    "Node",
    C,
    undefined,
    ready ? "ready" : "not ready",
    (node) => isReady(node) === ready,
    120_000,
  );
}

/** A ReadWriteOnce claim with data and a pod on the third node. Block, as the pod's kernel writes nothing by itself there. */
async function filled(name: string): Promise<{ readonly volume: Thing; readonly sum: string }> {
  await scope.claim(name, { block: true });
  await onNode(name, C);
  await scope.ready(`${name}-${C}`);
  await scope.shell(`${name}-${C}`, WRITE);
  return { volume: await scope.bound(name), sum: await scope.shell(`${name}-${C}`, READ) };
}

const onNode = (claim: string, node: string) =>
  scope.pod(`${claim}-${node}`, { claims: [claim], block: true, node });

/** As `kubectl delete pod --force`: the API forgets the pod, and nobody asks its node. */
const forget = (pod: string) =>
  cluster.kubectl(["delete", "pod", pod, "-n", scope.namespace, "--force", "--grace-period=0"]);

const nqnOf = async (volume: Thing) => (await diskOf(volume))?.nqn;

test.skipIf(skipped !== "")(
  `kubelet forgets a driver whose registration socket has gone, and gets it back from its registrar${skipped}`,
  async () => {
    const socket = "/var/lib/kubelet/plugins_registry/rds.csi.srvlab.io-reg.sock";
    const known = (wanted: boolean) =>
      api.await(
        "CSINode",
        C,
        undefined,
        wanted ? "with the driver" : "without the driver",
        ({ spec }) => (spec.drivers ?? []).length > 0 === wanted,
      );
    await known(true);
    await cluster.node(C).run("rm", [socket]);
    await known(false);
    await known(true);
  },
);

describe.skipIf(skipped !== "")(
  `the third node's kubelet is silent, and its pods are deleted by force${skipped}`,
  () => {
    test("the volume stays until kubelet answers, then goes to another node with every byte", async () => {
      const { volume, sum } = await filled("paused");
      const { name } = volume.metadata;
      const before = await nqnOf(volume);
      await cluster.node(C).signal("kubelet", "STOP");
      await forget(`paused-${C}`);
      await onNode("paused", A);
      await scope.event("Pod", `paused-${A}`, "FailedAttachVolume", /Multi-Attach error/);
      await awaitReady(false);
      // Its container runs on, and may write.
      expect([await attachedNodes(name), await nqnOf(volume)]).toEqual([[C], before]);
      await cluster.node(C).signal("kubelet", "CONT");
      await scope.ready(`paused-${A}`, 180_000);
      expect(await scope.shell(`paused-${A}`, READ)).toBe(sum);
      await awaitNodes(name, A);
      expect(await nqnOf(volume)).not.toBe(before);
      await awaitReady(true);
      await isClean();
      await scope.remove(`paused-${A}`);
      await scope.drop("paused");
    });

    test("after six minutes, or once its Node is deleted, another node gets each volume alone; the third returns clean", async () => {
      const late = await filled("late");
      const orphan = await filled("orphan");
      const disk = await newDisk("vm");
      const machine = new PlayedMachine(scope, "vm", ["vm"]);
      await machine.start(C);
      await machine.running();
      await scope.shell(machine.pod, WRITE);
      const sum = await scope.shell(machine.pod, READ);
      const vm = await scope.bound("vm");
      const before = {
        late: await nqnOf(late.volume),
        orphan: await nqnOf(orphan.volume),
        vm: await nqnOf(vm),
      };

      await cluster.node(C).kill("kubelet");
      await forget(`late-${C}`);
      const forgotten = Date.now();
      await onNode("late", A);
      await awaitReady(false);
      await forget(`orphan-${C}`);
      await forget(machine.pod);
      const orphaned = Date.now();
      await onNode("orphan", B);
      // The attach-detach controller waits six minutes for the unmount on a node that is not ready. Source: Kubernetes 1.36,
      // pkg/controller/volume/attachdetach/reconciler/reconciler.go.
      let most = 0;
      const detached = async () => {
        const nodes = await attachedNodes(late.volume.metadata.name);
        most = Math.max(most, nodes.length);
        return !nodes.includes(C);
      };
      await until("the forced detach", detached, { timeoutMs: 420_000, pauseMs: 500 });
      expect(most).toBe(1);
      expect(Date.now() - forgotten).toBeGreaterThan(MAX_WAIT_FOR_UNMOUNT_MS - 5_000);
      await scope.ready(`late-${A}`, 60_000);
      expect(await scope.shell(`late-${A}`, READ)).toBe(late.sum);
      await awaitNodes(late.volume.metadata.name, A);
      expect(await nqnOf(late.volume)).not.toBe(before.late);

      // A volume that two nodes may have needs no detach first: the driver decides, by the Node.
      const launcher = await machine.launch(B);
      await refusal(disk, B, /no live migration is proven/);
      expect([await nqnOf(vm), await nqnOf(orphan.volume)]).toEqual([before.vm, before.orphan]);
      await cluster.kubectl(["delete", "node", C]);
      await scope.ready(launcher, 120_000);
      expect(await scope.shell(launcher, READ)).toBe(sum);
      expect(await nqnOf(vm)).not.toBe(before.vm);
      await scope.event(CLAIM, "vm", "VolumeFenced", /node-3 no longer exists/);
      // Deleting the Node does not shorten the wait for a volume of one node.
      await scope.ready(`orphan-${B}`, 120_000);
      expect(Date.now() - orphaned).toBeGreaterThan(MAX_WAIT_FOR_UNMOUNT_MS - 5_000);
      expect(await scope.shell(`orphan-${B}`, READ)).toBe(orphan.sum);
      expect(await nqnOf(orphan.volume)).not.toBe(before.orphan);
      await awaitNodes(orphan.volume.metadata.name, B);
      await awaitNodes(disk, B);

      await runKubelet(cluster.node(C), NODES.length);
      await awaitReady(true);
      await cluster.awaitDriver();
      await isClean();
      const read = [await scope.shell(`late-${A}`, READ), await scope.shell(launcher, READ)];
      expect([...read, await scope.shell(`orphan-${B}`, READ)]).toEqual([late.sum, sum, orphan.sum]);
      await scope.remove(`late-${A}`);
      await onNode("late", C);
      await scope.ready(`late-${C}`, 120_000);
      expect(await scope.shell(`late-${C}`, READ)).toBe(late.sum);
      await scope.remove(`late-${C}`, `orphan-${B}`);
      await machine.stop();
      for (const name of ["late", "orphan", "vm"]) await scope.drop(name);
      await isClean();
    });
  },
);
