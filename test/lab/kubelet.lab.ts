import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { isReady, type Thing } from "../cluster/api.ts";
import { until } from "../cluster/run.ts";
import { Scope } from "../cluster/scope.ts";
import { PlayedMachine } from "../cluster/virt-controller.ts";
import { PodWriter, verifyInPod } from "./kubelet/pod-writer.ts";
import { KubeWorld, NODES, noKubelets, WRITER } from "./kubelet/world.ts";

const CLAIM = "PersistentVolumeClaim";
const [A, B] = NODES;
const START_MS = 400_000;
const OUT_OF_SERVICE = {
  key: "node.kubernetes.io/out-of-service",
  value: "nodeshutdown",
  effect: "NoExecute",
};
/** First number and tag of the records that are written after a node was given up. */
const FRESH = 1_000_000;
const FRESH_TAG = 2;
const DISK = { block: true, mode: "ReadWriteMany", storageClass: "kubelet-vm" } as const;

describe.skipIf(noKubelets !== "")(`kubelets on real NVMe/TCP ${noKubelets}`.trim(), () => {
  let started: KubeWorld | undefined;
  let failed = false;
  const world = (): KubeWorld => {
    if (started === undefined) throw new Error("the lab did not start");
    return started;
  };
  beforeAll(async () => {
    started = await KubeWorld.start((text) => console.error(`lab: ${text}`));
  }, START_MS);
  const scope = new Scope("kubelet", world);
  // As the class rds-vm of the manifests, but deleted with its claims.
  beforeAll(async () => {
    await scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "auto" });
  });
  afterAll(() => started?.close(failed), START_MS);

  /** Scenarios that wait most of the time run beside each other. */
  const scenario = (name: string, run: () => Promise<void>, many: typeof test = test.concurrent): void => {
    many(name, async () => {
      const begun = Date.now();
      try {
        await run();
      } catch (error) {
        failed = true;
        throw error;
      }
      console.error(`lab: ${((Date.now() - begun) / 1000).toFixed(1)} s: ${name}`);
    });
  };

  /** The NQNs and states of the NVMe controllers of a node, as its kernel has them. */
  const connections = async (node: string): Promise<string[]> => {
    const script = `for c in /sys/class/nvme/nvme*; do
      [ -e $c ] && echo "$(cat $c/transport) $(cat $c/state) $(cat $c/subsysnqn)"; done; true`;
    const found = await world().node(node).machine.look(script);
    return found.split("\n").filter((line) => line !== "");
  };

  /** Waits until exactly these nodes have a live connection to the volume, and exactly one each. */
  const awaitConnected = (volume: string, ...nodes: string[]): Promise<unknown> => {
    const states = async () =>
      await Promise.all(
        NODES.map(
          async (node) =>
            [node, (await connections(node)).filter((line) => line.includes(`:${volume}`))] as const,
        ),
      );
    const wanted = (found: readonly string[], node: string) =>
      nodes.includes(node) ? found.length === 1 && found[0]?.startsWith("tcp live ") : found.length === 0;
    return until(
      `${volume} to be connected on ${nodes.join(" and ") || "no node"}`,
      async () => (await states()).every(([node, found]) => wanted(found, node)),
      { timeoutMs: 120_000, explain: async () => JSON.stringify(await states()) },
    );
  };

  /** A bound claim of a virtual machine's disk. @returns the name of its volume on the RDS */
  const newDisk = async (name: string): Promise<string> => {
    await scope.claim(name, DISK);
    return (await scope.bound(name)).spec.csi.volumeHandle;
  };

  /** Drops a claim, and looks that nothing of its volume is left anywhere. */
  const dropped = async (claim: string, volume: string): Promise<void> => {
    const { metadata } = await scope.bound(claim);
    await scope.drop(claim);
    await awaitConnected(volume);
    // kubelet stages under a hash of the handle, and publishes under the name of the PersistentVolume.
    const hash = createHash("sha256").update(volume).digest("hex");
    for (const node of NODES) {
      const look = `grep -e ${hash} -e ${metadata.name} /proc/mounts || true`;
      expect(await world().node(node).machine.look(look)).toBe("");
    }
    expect((await world().disks()).filter(({ slot }) => slot === volume)).toEqual([]);
    expect(await world().rds.look(`ls /sys/kernel/config/nvmet/subsystems | grep ${volume} || true`)).toBe(
      "",
    );
  };

  scenario(
    "ext4: a pod's data are there for a pod on the other node, and nothing is left behind",
    async () => {
      await scope.claim("files", { size: "128Mi" });
      const volume = (await scope.bound("files")).spec.csi.volumeHandle;
      await scope.pod("files-1", { claims: ["files"], node: A });
      await scope.ready("files-1");
      await awaitConnected(volume, A);
      expect(await scope.shell("files-1", "grep ' /data ' /proc/mounts")).toMatch(
        /^\/dev\/nvme\d+n\d+ \/data ext4 rw/,
      );
      const sum = await scope.shell(
        "files-1",
        "dd if=/dev/urandom of=/data/f bs=64k count=64 2>/dev/null; sync; sha256sum /data/f",
      );
      await scope.remove("files-1");
      await scope.pod("files-2", { claims: ["files"], node: B });
      await scope.ready("files-2");
      await awaitConnected(volume, B);
      expect(await scope.shell("files-2", "sha256sum /data/f")).toBe(sum);
      await scope.remove("files-2");
      await dropped("files", volume);
    },
  );

  scenario(
    "block: a pod's device is the volume, also on the other node, and nothing is left behind",
    async () => {
      await scope.claim("raw", { block: true });
      const volume = (await scope.bound("raw")).spec.csi.volumeHandle;
      await scope.pod("raw-1", { claims: ["raw"], block: true, node: A, image: WRITER });
      await scope.ready("raw-1");
      await awaitConnected(volume, A);
      const writer = await PodWriter.start(scope, "raw-1", 1, 1);
      await writer.progress();
      const last = await writer.stop();
      await scope.remove("raw-1");
      await scope.pod("raw-2", { claims: ["raw"], block: true, node: B, image: WRITER });
      await scope.ready("raw-2");
      await verifyInPod(scope, "raw-2", last, 1);
      await scope.remove("raw-2");
      await dropped("raw", volume);
    },
  );

  scenario("a plain pod on a second node is refused, and its event says why", async () => {
    const volume = await newDisk("alone");
    const machine = new PlayedMachine(scope, "alone", ["alone"], WRITER);
    await machine.start(A);
    await machine.running();
    await scope.pod("intruder", { claims: ["alone"], block: true, node: B, image: WRITER });
    const said = await scope.event("Pod", "intruder", "FailedAttachVolume", /no live migration is proven/);
    expect(said).toContain(volume);
    expect(said).toContain(A);
    await awaitConnected(volume, A);
    await scope.remove("intruder");
    await machine.stop();
    await dropped("alone", volume);
  });

  scenario(
    "a live migration under a direct-I/O writer: both nodes attached until it has succeeded, every record is there",
    async () => {
      const volume = await newDisk("moves");
      const machine = new PlayedMachine(scope, "moves", ["moves"], WRITER);
      await machine.start(A);
      await machine.running();
      const source = machine.pod;
      const before = await PodWriter.start(scope, source, 1, 1);
      await before.progress();
      const migration = await machine.migrate(B);
      await migration.ready();
      await awaitConnected(volume, A, B);
      await before.progress();
      await scope.event(CLAIM, "moves", "MigrationStarted", /from node-1 to node-2/);
      // The guest stops on the source before it goes on on the target.
      const moved = await before.stop();
      await verifyInPod(scope, migration.pod, moved, 1);
      const after = await PodWriter.start(scope, migration.pod, moved + 1, 2);
      await after.progress();
      await migration.succeed();
      await awaitConnected(volume, B);
      await scope.event(CLAIM, "moves", "MigrationCompleted", /the volume is on node-2/);
      await after.progress();
      const last = await after.stop();
      await verifyInPod(scope, migration.pod, last);
      expect(last).toBeGreaterThan(moved);
      await machine.stop();
      await dropped("moves", volume);
    },
  );

  scenario(
    "a node that stops and is given up by the out-of-service taint: it wakes up and cannot write, and has the volume again after a reboot",
    async () => {
      await scope.claim("lost", { block: true });
      const volume = (await scope.bound("lost")).spec.csi.volumeHandle;
      await scope.pod("lost-1", { claims: ["lost"], block: true, node: A, image: WRITER });
      await scope.ready("lost-1");
      const before = await PodWriter.start(scope, "lost-1", 1, 1);
      await before.progress();
      const acknowledged = await before.acknowledged();
      const [disk] = (await world().disks()).filter(({ slot }) => slot === volume);
      let last = 0;
      const stopped = world().node(A).machine;
      stopped.pause();
      try {
        const lost = (node: Thing) => !isReady(node);
        await world().api.await("Node", A, undefined, "not ready", lost, 120_000);
        await taint(A, true);
        await scope.pod("lost-2", { claims: ["lost"], block: true, node: B, image: WRITER });
        await scope.ready("lost-2", 180_000);
        const newest = Number(await scope.shell("lost-2", "records newest /dev/vol"));
        expect(newest).toBeGreaterThanOrEqual(acknowledged);
        await verifyInPod(scope, "lost-2", newest, 1);
        expect((await world().disks()).find(({ slot }) => slot === volume)?.nqn).not.toBe(disk?.nqn);
        // Far from the numbers of the old pod, and until none of its records is left: every record of it would be seen.
        const after = await PodWriter.start(scope, "lost-2", FRESH, FRESH_TAG);
        for (let round = 0; round < 6; round += 1) await after.progress();
        last = await after.stop();
        await verifyInPod(scope, "lost-2", last, FRESH_TAG);
        stopped.resume();
        // The writer of the old pod goes on at once, and its node's kernel looks for what is there no more.
        await until(
          "the old connection to be lost",
          async () => {
            const found = (await connections(A)).filter((line) => line.includes(volume));
            return found.length === 1 && found[0]?.startsWith("tcp connecting ");
          },
          { timeoutMs: 120_000 },
        );
        await verifyInPod(scope, "lost-2", last, FRESH_TAG);
      } finally {
        stopped.resume();
      }
      // As with a real one whose processes wait for a device for ever.
      await stopped.powerOff();
      await world().boot(A);
      await taint(A, false);
      await scope.remove("lost-2");
      // A kubelet that still sees the taint refuses a pod for good; a controller would make another one, as here.
      await until(
        "a pod on the node that was lost",
        async () => {
          await scope.pod("lost-3", { claims: ["lost"], block: true, node: A, image: WRITER });
          const settled = (pod: Thing) => isReady(pod) || pod.status?.phase === "Failed";
          const pod = await scope.api.await("Pod", "lost-3", scope.namespace, "settled", settled, 180_000);
          if (pod.status.phase !== "Failed") return true;
          await scope.remove("lost-3");
          return false;
        },
        { timeoutMs: 300_000 },
      );
      await awaitConnected(volume, A);
      await verifyInPod(scope, "lost-3", last, FRESH_TAG);
      await scope.remove("lost-3");
      await dropped("lost", volume);
    },
    test,
  );

  const taint = async (node: string, on: boolean): Promise<void> => {
    const { spec } = await world().api.get("Node", node);
    const others = (spec.taints ?? []).filter(({ key }: Thing) => key !== OUT_OF_SERVICE.key);
    const taints = on ? [...others, OUT_OF_SERVICE] : others;
    await world().api.patch("Node", node, undefined, { spec: { taints } });
  };
});
