import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import process from "node:process";
import { blocksOf, readPage } from "../docs/page.fixture.ts";
import { ROOT } from "../docs/pages.fixture.ts";
import { CONTROL } from "./addresses.ts";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { attempt, type Ran, until } from "./run.ts";
import { startRds } from "./site.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { api, awaitNodes, cluster, diskOf, refusal, Scope } from "./world.ts";

// From an alert to its cause: each page's own commands below "Look", on a cluster that is broken so. Which alert fires when, is tried by
// rules.test.ts; the pages of NVMe connections need the lab.

const scope = new Scope("runbooks");
const [A, B] = NODES;
const SITE = join(cluster.place.state, "site");
const POOL = "storage-pool";
const block = { block: true, mode: "ReadWriteMany", storageClass: "runbooks-vm" } as const;
beforeAll(() => scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "30" }));

/** Commands of the page of an alert below a title, one string for each block. At most three blocks lead to a cause. */
async function commandsOf(alert: string, title = "Look"): Promise<string[]> {
  const page = await readPage(`runbooks/${alert}.md`);
  const [, look = ""] = new RegExp(`\\n## ${title}\\n(.*?)\\n## `, "s").exec(page) ?? [];
  const blocks = blocksOf(look).filter(({ language }) => language === "sh");
  expect(blocks.length).toBeWithin(1, 4);
  return blocks.map(({ text }) => text);
}

/** Text that the page shows. */
async function shownBy(alert: string): Promise<string> {
  const page = await readPage(`runbooks/${alert}.md`);
  return blocksOf(page).find(({ language }) => language === "text")?.text ?? "";
}

/** A page shows the output, with this claim in place of its own. Line ends may be elsewhere. */
async function expectShown(alert: string, claim: string, { stdout }: Ran): Promise<void> {
  const flat = (text: string) => text.replace(/\s+/g, " ").trim();
  const shown = (await shownBy(alert)).replace(/vms\/\w+/g, claim);
  expect(shown).toContain(claim);
  expect(flat(stdout)).toContain(flat(shown));
}

/** Runs commands as a person types them, with the reader's names in place of those in capitals. */
function run(text: string, names: Readonly<Record<string, string>> = {}): Promise<Ran> {
  const filled = Object.entries(names).reduce((all, [name, value]) => all.replaceAll(name, value), text);
  return attempt("bash", ["-c", filled], {
    env: { KUBECONFIG: cluster.kubeconfig, PATH: `${cluster.place.programs}/bin:${process.env.PATH}` },
  });
}

/** Runs a block of a page again and again until it says something: what is broken takes a moment to be seen. */
async function say(alert: string, index: number, text: RegExp, names?: Readonly<Record<string, string>>) {
  const command = (await commandsOf(alert))[index] ?? "";
  let last: Ran = { code: 0, stdout: "", stderr: "" };
  await until(
    `${alert}: ${text}`,
    async () => {
      last = await run(command, names);
      return text.test(`${last.stdout}${last.stderr}`);
    },
    { timeoutMs: 180_000, explain: () => `${last.stdout}${last.stderr}` },
  );
  return last;
}

/** Runs lines on the RDS, as an administrator does. @returns their output */
async function onRds(lines: readonly string[]): Promise<string> {
  const transport = join(ROOT, "src/routeros/transport/ssh-transport.ts");
  const options = {
    ...{ host: CONTROL, user: "csi", keyFile: join(SITE, "rds-csi-key") },
    ...{ hostKeys: [], hostKeyFile: join(SITE, "known_hosts") },
  };
  const script = `import { createSshTransport } from ${JSON.stringify(transport)};
    const rds = createSshTransport(${JSON.stringify(options)});
    for (const line of ${JSON.stringify(lines)}) {
      const { stdout } = await rds.exec(line, { signal: new AbortController().signal, timeoutMs: 20_000, purpose: "change" });
      console.log(stdout);
    }
    await rds.close();`;
  const network = `--net=/proc/${cluster.control.pid}/ns/net`;
  const { code, stdout, stderr } = await attempt("nsenter", [network, process.execPath, "-e", script]);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

/** A claim with a pod on a node. @returns its volume */
async function inUse(name: string, node: string, options = {}): Promise<Thing> {
  await scope.claim(name, options);
  await scope.pod(`${name}-1`, { claims: [name], block: "block" in options, node });
  await scope.ready(`${name}-1`);
  return await scope.bound(name);
}
async function gone(name: string): Promise<void> {
  await scope.remove(`${name}-1`);
  await scope.drop(name);
}

describe("the RDS", () => {
  // Also of a scenario that failed.
  afterEach(async () => {
    await cluster.rds.clearFaults();
    await cluster.rds.pool(POOL, true);
    await cluster.rds.array(POOL, "clean");
  });

  test("RdsCsiRdsUnreachable: it does not run", async () => {
    await cluster.control.kill("rds");
    const { code, stderr } = await say("RdsCsiRdsUnreachable", 0, /is not reachable over SSH/);
    expect(code).toBe(1);
    const expected = (await shownBy("RdsCsiRdsUnreachable")).replaceAll("192.0.2.10", CONTROL);
    for (const line of expected.split("\n")) expect(stderr).toContain(line.replace(/connect .*/, "").trim());
    await startRds(cluster.control, SITE);
  });

  test("RdsCsiRdsCommandsRefused: the user has lost a policy", async () => {
    await cluster.rds.fault({ kind: "permissionMissing", policy: "write", line: "/disk", count: "forever" });
    await scope.claim("denied");
    const { stdout } = await say("RdsCsiRdsCommandsRefused", 0, /permissionDenied/);
    expect(stdout).toContain("not enough permissions (9)");
    await cluster.rds.clearFaults();
    await scope.bound("denied");
    await scope.drop("denied");
  });

  test("RdsCsiAttachmentDrift: it has lost its exports", async () => {
    const volume = await inUse("drifted", A);
    await cluster.rds.switches({ "reboot-exports": "lost" });
    await cluster.rds.reboot();
    const told = await say("RdsCsiAttachmentDrift", 0, /not-exported: runbooks\/drifted/);
    await expectShown("RdsCsiAttachmentDrift", "runbooks/drifted", told);
    await cluster.rds.switches({ "reboot-exports": "kept" });
    // It is over by itself, as the page says.
    await until("the export", async () => (await diskOf(volume))?.exported === true);
    await gone("drifted");
  });

  test("RdsCsiPoolNotMounted, RdsCsiVolumesBroken: a pool is not there", async () => {
    await scope.claim("pooled");
    await scope.bound("pooled");
    await cluster.rds.pool(POOL, false);
    for (const alert of ["RdsCsiPoolNotMounted", "RdsCsiVolumesBroken"]) {
      const told = await say(alert, 0, /!! pool-not-mounted: runbooks\/pooled/);
      if (alert === "RdsCsiPoolNotMounted") await expectShown(alert, "runbooks/pooled", told);
    }
    const { stdout } = await say("RdsCsiVolumesBroken", 1, /pool-not-mounted/, {
      "NAMESPACE/CLAIM": "runbooks/pooled",
    });
    expect(stdout).toContain("storage-pool");
    await cluster.rds.pool(POOL, true);
    await scope.drop("pooled");
  });

  test("RdsCsiPoolDegraded: its array lacks a member", async () => {
    await scope.claim("degraded");
    await scope.bound("degraded");
    await cluster.rds.array(POOL, "degraded");
    const told = await say("RdsCsiPoolDegraded", 0, /pool-degraded: runbooks\/degraded/);
    await expectShown("RdsCsiPoolDegraded", "runbooks/degraded", told);
    const [, onDevice = ""] = await commandsOf("RdsCsiPoolDegraded");
    expect(await onRds([onDevice.replace(/^ssh \S+ '(.*)'\s*$/, "$1")])).toContain("degraded");
    await cluster.rds.array(POOL, "clean");
    await scope.drop("degraded");
  });

  test("RdsCsiPoolAlmostFull, RdsCsiPoolFilling, RdsCsiPoolFullInFourDays: the largest and the youngest volumes", async () => {
    for (const [name, size] of [
      ["small", "64Mi"],
      ["large", "1Gi"],
    ] as const) {
      await scope.claim(name, { size });
      const { metadata } = await scope.bound(name);
      // The next one is younger by a second, which a record tells apart.
      const next = Date.parse(metadata.creationTimestamp) + 2_000;
      await until("a later second", () => Date.now() > next, { pauseMs: 100 });
    }
    const order = async (alert: string) =>
      [...(await say(alert, 0, /runbooks\/large/)).stdout.matchAll(/runbooks\/(small|large)/g)].map(
        ([, name]) => name,
      );
    expect(await order("RdsCsiPoolAlmostFull")).toEqual(["large", "small"]);
    expect(await order("RdsCsiPoolFilling")).toEqual(["large", "small"]);
    expect(await order("RdsCsiPoolFullInFourDays")).toEqual(["large", "small"]);
    for (const name of ["small", "large"]) await scope.drop(name);
  });
});

describe("a volume", () => {
  test("RdsCsiOrphans: nobody names it, and the commands of its page delete it with its data once it is old enough", async () => {
    await scope.claim("left");
    const volume = await scope.bound("left");
    const { name } = volume.metadata;
    const { volumeHandle } = volume.spec.csi;
    await api.patch("PersistentVolume", name, undefined, {
      metadata: { finalizers: null },
      spec: { persistentVolumeReclaimPolicy: "Retain" },
    });
    await api.delete("PersistentVolumeClaim", "left", scope.namespace);
    await api.awaitGone("PersistentVolumeClaim", "left", scope.namespace);
    await api.patch("PersistentVolume", name, undefined, { metadata: { finalizers: null } });
    await api.delete("PersistentVolume", name);
    await api.awaitGone("PersistentVolume", name);
    const young = await say("RdsCsiOrphans", 0, new RegExp(`^disk +no .*${volumeHandle}$`, "m"));
    const words = (text: string): string => text.replaceAll(/\s+/g, " ").trim();
    expect(words(young.stdout)).toContain(words(await shownBy("RdsCsiOrphans")));
    expect(words(young.stdout)).toContain("it is young");
    const { stdout } = await say("RdsCsiOrphans", 1, /runbooks\/left/, { HANDLE: volumeHandle });
    expect(stdout).toContain(`rds-csi volumes orphans --delete ${volumeHandle}`);
    // A record that is older.
    const comment = (await diskOf(volume))?.comment ?? "";
    const older = comment.replace(/;t=\d+/, ";t=1700000000");
    expect(older).not.toBe(comment);
    await onRds([`/disk set [find where slot="${volumeHandle}"] comment="${older}"`]);
    const [plan = "", deletion = ""] = (await commandsOf("RdsCsiOrphans", "Do"))[0]?.split("\n") ?? [];
    const planned = await run(plan, { HANDLE: volumeHandle });
    expect([planned.code, planned.stdout]).toEqual([0, expect.stringContaining("Nothing was changed.")]);
    expect(await diskOf(volume)).toBeDefined();
    const deleted = await run(deletion, { HANDLE: volumeHandle });
    expect([deleted.code, deleted.stdout]).toEqual([0, expect.stringContaining(`${volumeHandle}: deleted`)]);
    expect(await diskOf(volume)).toBeUndefined();
    expect(JSON.stringify(await cluster.rds.state())).not.toContain(volumeHandle);
  });

  test("RdsCsiSecondWriterRefused: two pods with one disk", async () => {
    const volume = await inUse("writers", A, block);
    await scope.pod("writers-2", { claims: ["writers"], block: true, node: B });
    await refusal(volume.metadata.name, B, /no live migration is proven/);
    const { stdout } = await say(
      "RdsCsiSecondWriterRefused",
      0,
      /secondNodeNotProven[\s\S]*runbooks\/writers/,
    );
    expect(stdout).toMatch(/writers-2/);
    await scope.remove("writers-2");
    await gone("writers");
  });

  test("RdsCsiMigrationOverdue, RdsCsiTwoNodesForLong, RdsCsiMigrationFailed: a migration that runs, and then fails", async () => {
    await scope.claim("machine", block);
    const machine = new PlayedMachine(scope, "machine", ["machine"]);
    await machine.start(A);
    await machine.running();
    const { metadata } = await scope.bound("machine");
    const migration = await machine.migrate(B);
    await migration.ready();
    await awaitNodes(metadata.name, A, B);
    await say("RdsCsiMigrationOverdue", 0, /migration-overdue: runbooks\/machine/);
    const { stdout } = await say("RdsCsiTwoNodesForLong", 0, /virt-launcher-machine-2/, {
      NAMESPACE: scope.namespace,
    });
    expect(stdout).toMatch(/^broken .*runbooks\/machine +node-1,node-2 /m);
    expect(stdout).toMatch(/^machine .* node-1/m);
    expect(stdout).toMatch(/virt-launcher-machine-1 .* node-1/);
    await migration.fail();
    await awaitNodes(metadata.name, A);
    await say("RdsCsiMigrationFailed", 0, /runbooks .*MigrationFailed .*persistentvolumeclaim\/machine/);
    await machine.stop();
    await scope.drop("machine");
  });

  test("RdsCsiVolumeAbnormalOnNode: its filesystem has become read-only", async () => {
    const volume = await inUse("sick", A);
    const node = cluster.node(A);
    const staged = `$(grep -l ${volume.spec.csi.volumeHandle} /var/lib/kubelet/plugins/kubernetes.io/csi/*/*/vol_data.json | xargs dirname)/globalmount`;
    await node.run("sh", ["-ec", `mount -o remount,ro "${staged}"`]);
    await say("RdsCsiVolumeAbnormalOnNode", 0, /read-only/, { NODE: A });
    await node.run("sh", ["-ec", `mount -o remount,rw "${staged}"`]);
    await gone("sick");
  });

  test("RdsCsiInternalErrors: a mount option that the filesystem does not know", async () => {
    await scope.storageClass("odd", {}, { mountOptions: ["no_such_option=1"] });
    await scope.claim("odd", { storageClass: "runbooks-odd" });
    await scope.pod("odd-1", { claims: ["odd"], node: A });
    const { stdout } = await say("RdsCsiInternalErrors", 0, /mountFailed/);
    expect(stdout).toMatch(/^\[pod\/rds-csi-node-\w+\/driver\] .*bad option/m);
    await gone("odd");
  });

  test("RdsCsiUnstageRefused: a process of the node has the device open", async () => {
    const volume = await inUse("busy", A, { block: true });
    const node = cluster.node(A);
    const device = `/dev/$(basename $(dirname $(dirname $(grep -l ${volume.spec.csi.volumeHandle} /sys/block/loop*/loop/backing_file))))`;
    await node.daemon("holder", ["sh", "-c", `exec sleep 2147483647 <${device}`]);
    await scope.api.delete("Pod", "busy-1", scope.namespace);
    await say("RdsCsiUnstageRefused", 0, /sleep/, { NODE: A });
    await node.kill("holder");
    await api.awaitGone("Pod", "busy-1", scope.namespace, 180_000);
    await scope.drop("busy");
  });
});

describe("the driver", () => {
  afterEach(() => cluster.rds.clearFaults());
  afterAll(async () => {
    await cluster.applySite();
    await cluster.awaitDriver();
  });

  test("RdsCsiControllerMissing: no pod", async () => {
    await cluster.kubectl(["scale", "-n", "rds-csi", "deployment/rds-csi-controller", "--replicas=0"]);
    await say("RdsCsiControllerMissing", 0, /No resources found/);
    const { stdout } = await say("RdsCsiControllerMissing", 1, /podmonitor/);
    expect(stdout).toContain("networkpolicy");
    await cluster.kubectl(["scale", "-n", "rds-csi", "deployment/rds-csi-controller", "--replicas=2"]);
    await cluster.awaitDriver();
  });

  test("RdsCsiReconcileFailing: its list of the disks is refused", async () => {
    await cluster.rds.fault({
      kind: "permissionMissing",
      policy: "read",
      line: "/disk/print",
      count: "forever",
    });
    const { stdout } = await say("RdsCsiReconcileFailing", 0, /reconcile failed, it is repeated/);
    expect(stdout).toMatch(/msg="reconcile failed, it is repeated".*not enough permissions/);
    await cluster.rds.clearFaults();
  });

  test("RdsCsiNodePluginMissing: a node has no pod", async () => {
    const only = async (name: string | null) => {
      const patch = { spec: { template: { spec: { nodeSelector: { "kubernetes.io/hostname": name } } } } };
      const args = ["patch", "daemonset", "rds-csi-node", "-n", "rds-csi", "-p", JSON.stringify(patch)];
      await cluster.kubectl(args);
    };
    await only(A);
    await until("one pod", async () => {
      const { stdout } = await run((await commandsOf("RdsCsiNodePluginMissing"))[0] ?? "");
      const [pods = "", nodes = ""] = stdout.split(/^NAME +STATUS +ROLES/m);
      return pods.includes(A) && !pods.includes(B) && nodes.includes(B);
    });
    await only(null);
  });
});
