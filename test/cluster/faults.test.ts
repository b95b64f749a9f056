import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { Random } from "../fuzz/random.ts";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { startApiServer } from "./control-plane.ts";
import type { Machine } from "./machine.ts";
import { runKubelet } from "./node.ts";
import { until } from "./run.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { api, attachmentsOf, cluster, diskOf, Scope } from "./world.ts";

const scope = new Scope("faults");
const [A, B] = NODES;
const seed = Number(process.env.RDS_CSI_TEST_SEED ?? "1");

/** Kills every process of a machine whose command line matches. Its process namespace has no others than this cluster's. */
async function killAll(machine: Machine, pattern: RegExp): Promise<number> {
  const list = "cd /proc; for p in [0-9]*; do echo \"$p $(tr '\\0' ' ' <$p/cmdline 2>/dev/null)\"; done";
  const lines = (await machine.run("sh", ["-c", list])).split("\n");
  const pids = lines
    .filter((line) => pattern.test(line.replace(/^\d+ /, "")))
    .map((line) => line.split(" ")[0] ?? "");
  if (pids.length > 0) await machine.attempt("sh", ["-c", `kill -9 ${pids.join(" ")}`]);
  return pids.length;
}

interface Victim {
  readonly name: string;
  /** @returns whether there was something to kill */
  kill(): Promise<boolean>;
  /** Puts back what nobody else restarts. */
  mend?(): Promise<void>;
  /** Once every volume is gone. */
  after?(): Promise<void>;
}

/**
 * A kubelet that is killed after NodeUnpublishVolume and before NodeUnstageVolume has succeeded does not know the volume any more when
 * it comes back: it lets it be detached, and never asks the driver to unstage it. Takes away such leftovers, as an administrator would.
 * One that the driver has unstaged with OK is a failure.
 */
async function clearForgotten(): Promise<void> {
  for (const node of cluster.nodes) {
    const shell = (script: string) => node.run("sh", ["-c", `cd /var/lib/rds-csi/${node.name}; ${script}`]);
    const left = async () => (await shell("ls | grep '[.]device$' || true")).split("\n").filter(Boolean);
    // A call whose caller was killed goes on to its end.
    const isClean = async () => (await left()).length === 0;
    await until(`${node.name} to be clean`, isClean, { timeoutMs: 20_000 }).catch(() => {});
    for (const record of await left()) {
      const [, handle = ""] = /:([^.]+)/.exec(record) ?? [];
      const logs = "/var/lib/pod-logs/rds-csi_rds-csi-node-*/driver/*.log";
      const calls = await shell(
        `grep -hE 'method=Node[A-Za-z]+Volume .*code=.*${handle}' ${logs} | tail -n 1`,
      );
      expect(calls).toMatch(/method=Node\w+Volume/);
      expect(calls).not.toMatch(/method=NodeUnstageVolume .*code=OK/);
      console.log(`kubelet of ${node.name} has forgotten ${handle}; last call: ${calls.trim()}`);
      const { name } = JSON.parse(await shell(`cat ${record}`)) as { name: string };
      const claim = record.replace(/[.]device$/, "");
      await shell(
        `umount -A /dev/${name} 2>/dev/null; set -e; losetup --detach /dev/${name}; rm ${claim} ${record}`,
      );
    }
  }
}

const inPods = (name: string, pattern: RegExp): Victim => ({
  name,
  kill: async () => {
    const killed = await Promise.all(cluster.nodes.map((node) => killAll(node, pattern)));
    return killed.some((count) => count > 0);
  },
});

const VICTIMS: readonly Victim[] = [
  inPods("both controllers", /^rds-csi controller /),
  inPods("every provisioner and attacher", /^\/csi-(provisioner|attacher) /),
  inPods("the driver on every node", /^rds-csi node /),
  {
    name: "every kubelet",
    kill: async () => (await Promise.all(cluster.nodes.map((node) => node.kill("kubelet")))).some(Boolean),
    mend: async () => {
      for (const [index, node] of cluster.nodes.entries()) await runKubelet(node, index);
    },
    after: clearForgotten,
  },
  {
    name: "the API server",
    kill: () => cluster.control.kill("kube-apiserver"),
    mend: () => startApiServer(cluster.control),
  },
];

/** Does work, kills a while after it has begun, and mends; the work meets the fault wherever it is then. */
async function meanwhile<T>(victim: Victim, random: Random, work: () => Promise<T>): Promise<T> {
  const fault = async () => {
    await delay(random.int(2_500));
    // It may be down still, as kubelet waits before it starts a container again.
    await until(`${victim.name} to run`, () => victim.kill(), { timeoutMs: 90_000 });
    await victim.mend?.();
  };
  // Neither is left behind by the other's failure.
  const [done, killed] = await Promise.allSettled([work(), fault()]);
  if (killed.status === "rejected") throw killed.reason;
  if (done.status === "rejected") throw done.reason;
  return done.value;
}

beforeAll(() => {
  // The API server is among the victims.
  api.patienceMs = 90_000;
});
beforeAll(() => scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "auto" }));

/** Puts new pods of the driver in place of those that have died: kubelet waits up to five minutes before it starts a container again. */
async function renewPods(): Promise<void> {
  const all = await api.list("Pod", "rds-csi");
  const died = all.filter(({ status }) =>
    status.containerStatuses?.some(({ restartCount }: Thing) => restartCount > 0),
  );
  for (const { metadata } of died) await api.delete("Pod", metadata.name, "rds-csi");
  for (const { metadata } of died) await api.awaitGone("Pod", metadata.name, "rds-csi", 120_000);
  await cluster.awaitDriver(240_000);
}
afterEach(renewPods, 400_000);

describe("killed at random moments, and everything converges", () => {
  for (const [number, victim] of VICTIMS.entries()) {
    test(`${victim.name} (seed ${seed})`, async () => {
      const random = new Random(seed + number);
      const names = [1, 2, 3].map((each) => `v${number}-${each}`);
      const during = (work: () => Promise<unknown>) => meanwhile(victim, random, work);
      // The API may be away while a test asks.
      const sure = <T>(what: string, ask: () => Promise<T>): Promise<T> =>
        until(what, async () => [await ask()] as const, { timeoutMs: 90_000 }).then(([answer]) => answer);
      const each = (what: string, work: (name: string) => Promise<unknown>) => () =>
        Promise.all(names.map((name) => sure(`${what} ${name}`, () => work(name))));

      await during(
        each("claim and pod", async (name) => {
          await scope.claim(name);
          await scope.pod(`${name}-a`, { claims: [name], node: A });
        }),
      );
      await each("ready", (name) => scope.ready(`${name}-a`, 180_000))();
      const write = "dd if=/dev/urandom of=/data/f bs=64k count=16 2>/dev/null; sync; sha256sum /data/f";
      const sums = await Promise.all(
        names.map((name) => sure("write", () => scope.shell(`${name}-a`, write))),
      );
      await during(
        each("move", async (name) => {
          await api.delete("Pod", `${name}-a`, scope.namespace);
          await scope.pod(`${name}-b`, { claims: [name], node: B });
        }),
      );
      await each("ready", (name) => scope.ready(`${name}-b`, 240_000))();
      const read = names.map((name) => sure("read", () => scope.shell(`${name}-b`, "sha256sum /data/f")));
      expect(await Promise.all(read)).toEqual(sums);
      const volumes = await Promise.all(names.map((name) => sure("volume", () => scope.bound(name))));
      await during(
        each("delete", async (name) => {
          await api.delete("Pod", `${name}-b`, scope.namespace);
          await api.delete("PersistentVolumeClaim", name, scope.namespace);
        }),
      );
      for (const volume of volumes) {
        await sure("gone", () => api.awaitGone("PersistentVolume", volume.metadata.name, undefined, 240_000));
        expect(await diskOf(volume)).toBeUndefined();
        expect(await sure("attachments", () => attachmentsOf(volume.metadata.name))).toEqual([]);
      }
      await victim.after?.();
      await cluster.awaitDriver(240_000);
    });

    test(`${victim.name}, during live migrations (seed ${seed})`, async () => {
      const random = new Random(seed + 100 + number);
      const name = `vm${number}`;
      await scope.claim(name, { mode: "ReadWriteMany", block: true, storageClass: "faults-vm" });
      const volume = await scope.bound(name);
      const machine = new PlayedMachine(scope, name, [name]);
      await machine.start(A);
      await machine.running(180_000);
      const shell = async (script: string): Promise<string> => {
        let said = "";
        await until("the pod's shell", async () => {
          const { code, stdout } = await scope.tryShell(machine.pod, script);
          said = stdout.trim();
          return code === 0;
        });
        return said;
      };
      await shell("dd if=/dev/urandom of=/dev/vol bs=1M count=8 2>/dev/null; sync");
      const read = () => shell("dd if=/dev/vol bs=1M count=8 2>/dev/null | sha256sum");
      const sum = await read();
      // Killed while the target is attached, and the next time while the source is detached.
      for (const [turn, target] of [B, A].entries()) {
        const begin = () => machine.migrate(target, `${name}-${turn}`);
        const migration = turn === 0 ? await meanwhile(victim, random, begin) : await begin();
        await migration.ready(240_000);
        const end = () => migration.succeed();
        await (turn === 1 ? meanwhile(victim, random, end) : end());
        await until(
          `the volume to be on ${target} alone`,
          async () => {
            const on = (await attachmentsOf(volume.metadata.name)).map(({ spec }) => spec.nodeName);
            return on.length === 1 && on[0] === target;
          },
          { timeoutMs: 240_000 },
        );
        expect(await read()).toBe(sum);
      }
      await machine.stop();
      await scope.drop(name);
      expect(await diskOf(volume)).toBeUndefined();
      await victim.after?.();
      await cluster.awaitDriver(240_000);
    });
  }

  test("nothing is left on the nodes: neither loop devices nor mounts of volumes", async () => {
    for (const node of cluster.nodes) {
      const left = async () => {
        const records = await node.run("sh", [
          "-c",
          `cd /var/lib/rds-csi/${node.name} && { ls | grep -c device || true; }`,
        ]);
        const mounts = await node.run("sh", ["-c", "grep -c kubernetes.io~csi /proc/self/mountinfo || true"]);
        return `${records.trim()} ${mounts.trim()}`;
      };
      await until(`${node.name} to be clean`, async () => (await left()) === "0 0", { explain: left });
    }
  });
});
