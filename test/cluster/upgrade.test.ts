import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../docs/pages.fixture.ts";
import { auditMark, refusedSince } from "./audit.ts";
import { NODES } from "./cluster.ts";
import { buildRelease, hasCommit, V0_1_0 } from "./release.ts";
import { until } from "./run.ts";
import { makeSiteFrom } from "./site.ts";
import {
  awaitNodesOf,
  awaitVersion,
  COUNT,
  FILL,
  grow,
  inController,
  nqnOf,
  READ,
  shell,
  Writer,
} from "./swap.ts";
import { PlayedMachine, type PlayedMigration } from "./virt-controller.ts";
import { api, attachedNodes, cluster, Scope } from "./world.ts";

const [A, B] = NODES;
const CLAIM = "PersistentVolumeClaim";
const SITE = join(cluster.place.state, "site");
const OLD = `${SITE}-0.1.0`;
const NEW = `${SITE}-upgraded`;
const known = await hasCommit(V0_1_0);
const skipped = known ? "" : " (skipped: this clone has no history)";

const scope = new Scope("upgrade");
// After the end of the namespace, whose volumes the driver with another cluster id would not delete.
afterAll(async () => {
  if (!known) return;
  for (const end of keepers) await end();
  await cluster.rds.switches({ "online-resize": "after-reexport" });
  await shell(`kubectl delete -k ${NEW}`);
  // As the cluster was made.
  await cluster.applySite();
  await cluster.awaitDriver();
}, 300_000);

/** The first shell block below a heading of docs/upgrade.md, with this cluster's folders in place of the reader's. */
async function commands(heading: string): Promise<string> {
  const page = await readFile(join(ROOT, "docs/upgrade.md"), "utf8");
  const [, section = ""] = page.split(`# ${heading}\n`);
  const [, block = ""] = /<!-- cluster -->\n```sh\n(.*?)```/s.exec(section) ?? [];
  expect(block).not.toBe("");
  return block.replaceAll("../rds-csi-old/manifests/sites/home", OLD).replaceAll("manifests/sites/home", NEW);
}

/**
 * Keeps the mount namespaces of the node plugins that run now. 0.1.0 knows a loop device by the name of its file, which the kernel keeps
 * as long as the namespace in which the device was attached. NVMe/TCP needs nothing of the kind.
 */
async function keepNamespaces(): Promise<void> {
  for (const node of cluster.nodes) {
    for (const pid of (await node.run("pgrep", ["-f", "^rds-csi node "])).trim().split("\n")) {
      const command = ["sh", "-c", `exec 9</proc/${pid}/ns/mnt; exec sleep 2147483647`];
      await node.daemon(`keeper-${pid}`, command);
      keepers.push(() => node.kill(`keeper-${pid}`));
    }
  }
}
const keepers: (() => Promise<unknown>)[] = [];

const block = { block: true, storageClass: "upgrade-vm", mode: "ReadWriteMany" } as const;
describe.skipIf(!known)(`volumes in use, from 0.1.0 to this version and back${skipped}`, () => {
  const files = new Writer(scope, "files", "fs");
  const raw = new Writer(scope, "raw", "block");
  const fresh = new Writer(scope, "fresh", "fs");
  /** Stays attached under 0.1.0, against docs/upgrade.md. */
  const kept = new Writer(scope, "kept", "fs");
  let machine: PlayedMachine;
  let migration: PlayedMigration;
  let sum = "";
  let since = 0;

  beforeAll(async () => {
    const { image, manifests } = await buildRelease(V0_1_0);
    await cluster.load(image, "--base-name", "docker.io/library/rds-csi");
    const id = { "cluster-id": "default" };
    await makeSiteFrom(SITE, OLD, manifests, id);
    await makeSiteFrom(SITE, NEW, undefined, id);
    await cluster.rds.switches({ "online-resize": "at-once" });
    await shell(`kubectl delete -k ${SITE}; kubectl apply -k ${OLD}`);
    await awaitVersion(/:0\.1\.0$/);
    since = await auditMark();
    await scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "auto" });
  }, 600_000);

  test("0.1.0 serves volumes, and a live migration begins", async () => {
    await Promise.all(["files", "idle"].map((name) => scope.claim(name)));
    await Promise.all(["raw", "gone"].map((name) => scope.claim(name, { block: true })));
    await scope.claim("moving", block);
    machine = new PlayedMachine(scope, "moving", ["moving"]);
    await machine.start(A);
    await scope.pod("idle-1", { claims: ["idle"], node: A, script: "echo kept >/data/f; sync" });
    await Promise.all([
      files.start("files", A),
      raw.start("raw", B),
      machine.running(),
      scope.ended("idle-1"),
    ]);
    await scope.remove("idle-1");
    await scope.shell(machine.pod, FILL);
    sum = await scope.shell(machine.pod, READ);
    migration = await machine.migrate(B, "under-way");
    await migration.ready();
    await awaitNodesOf(scope, "moving", A, B);
    for (const writer of [files, raw]) await writer.goesOn();
    for (const claim of ["files", "raw", "moving"]) expect(await nqnOf(scope, claim)).toMatch(/\.\d+$/);
  });

  test("the commands of docs/upgrade.md install this version, and every pod writes on", async () => {
    const before = await Promise.all(["files", "raw", "moving"].map((claim) => nqnOf(scope, claim)));
    await keepNamespaces();
    await shell(await commands("Upgrade"));
    await awaitVersion(/:0\.2\.0/);
    for (const writer of [files, raw]) await writer.goesOn();
    expect(await Promise.all(["files", "raw", "moving"].map((claim) => nqnOf(scope, claim)))).toEqual(before);
    await inController("volumes", "list", "--fail-on-problems");
  });

  test("the migration that 0.1.0 began ends right", async () => {
    await migration.succeed();
    await awaitNodesOf(scope, "moving", B);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await scope.event(CLAIM, "moving", "MigrationCompleted", /the volume is on node-2/);
  });

  test("volumes of 0.1.0 are attached, grown and deleted; new attachments have a nonce", async () => {
    await scope.pod("idle-2", { claims: ["idle"], node: B });
    await scope.ready("idle-2");
    expect(await scope.shell("idle-2", "cat /data/f")).toBe("kept");
    expect(await nqnOf(scope, "idle")).toMatch(/\.\d+-[0-9a-z]+$/);
    await grow(scope, "raw", "128Mi");
    expect(await scope.shell("raw", "blockdev --getsize64 /dev/vol")).toBe(String(128 << 20));
    await raw.goesOn();
    await scope.drop("gone");
    // 0.1.0 knows no other layout.
    const storageClass = await scope.storageClass("plain", { layout: "plain" });
    for (const writer of [fresh, kept]) {
      await scope.claim(writer.pod, { storageClass });
      await writer.start(writer.pod, A);
      await writer.goesOn();
    }
  });

  test("back: a live migration of an attachment of 0.1.0 begins", async () => {
    migration = await machine.migrate(A, "and-back");
    await migration.ready();
    await awaitNodesOf(scope, "moving", A, B);
  });

  test("docs/upgrade.md tells the attachments that 0.1.0 cannot keep", async () => {
    const told = await shell(await commands("Back to 0.1.0"));
    const volumes = await Promise.all(["idle", "fresh", "kept"].map((claim) => scope.bound(claim)));
    const lines = volumes.map(({ metadata }, index) => `${metadata.name}   ${[B, A, A][index]}`);
    expect(told.trim().split("\n").sort()).toEqual(lines.sort());
  });

  test("the commands of docs/upgrade.md go back to 0.1.0, and every pod with its attachments writes on", async () => {
    for (const pod of ["idle-2", "fresh"]) await scope.remove(pod);
    const { metadata, spec } = await scope.bound("kept");
    await until(
      "no other attachment with a nonce",
      async () => (await shell(await commands("Back to 0.1.0"))).trim() === `${metadata.name}   ${A}`,
    );
    await keepNamespaces();
    await shell(await commands("Rollback"));
    await awaitVersion(/:0\.1\.0$/);
    for (const writer of [files, raw]) await writer.goesOn();
    const problems = (await inController("volumes", "list"))
      .split("\n")
      .filter((line) => line.startsWith("!"));
    expect(problems.filter((line) => !line.includes(spec.csi.volumeHandle))).toEqual([]);
  });

  test("0.1.0 unmounts no volume that this version has attached; its pod writes on until it is deleted", async () => {
    await kept.goesOn();
    await api.delete("Pod", "kept", scope.namespace);
    const logs = [
      "logs",
      "-n",
      "rds-csi",
      "-l",
      "app.kubernetes.io/component=node",
      "-c",
      "driver",
      "--tail=-1",
    ];
    await until("the refusal of 0.1.0", async () =>
      /NodeUnpublish.*pathOccupied/.test(await cluster.kubectl(logs)),
    );
    expect(await attachedNodes((await scope.bound("kept")).metadata.name)).toEqual([A]);
    expect((await api.get("Pod", "kept", scope.namespace)).metadata.deletionTimestamp).toBeDefined();
  });

  test("0.1.0 ends the migration right, and attaches, grows and deletes the volumes of both", async () => {
    await migration.succeed();
    await awaitNodesOf(scope, "moving", A);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await scope.pod("idle-3", { claims: ["idle"], node: A });
    await scope.pod("fresh-2", { claims: ["fresh"], node: B });
    await scope.ready("idle-3");
    await scope.ready("fresh-2");
    expect(await scope.shell("idle-3", "cat /data/f")).toBe("kept");
    expect(Number(await scope.shell("fresh-2", COUNT.fs))).toBeGreaterThan(3);
    await grow(scope, "raw", "192Mi");
    expect(await scope.shell("raw", "blockdev --getsize64 /dev/vol")).toBe(String(192 << 20));
    await raw.goesOn();
    await scope.remove("fresh-2");
    await scope.drop("fresh");
  });

  test("forth again, and what was attached all the time is moved and deleted without a rest", async () => {
    await keepNamespaces();
    await shell(await commands("Upgrade"));
    await awaitVersion(/:0\.2\.0/);
    for (const writer of [files, raw]) await writer.goesOn();
    await scope.remove("files");
    // kubelet tries again to unmount what 0.1.0 would not, with pauses of up to two minutes.
    for (const claim of ["files", "kept"]) {
      await scope.pod(`${claim}-2`, { claims: [claim], node: B });
      await scope.ready(`${claim}-2`, 240_000);
      await api.awaitGone("Pod", claim, scope.namespace);
      expect(await scope.shell(`${claim}-2`, "awk '$1 != NR - 1' /data/log | head -n 1")).toBe("");
    }
    await machine.stop();
    await scope.remove("files-2", "kept-2", "idle-3", "raw");
    const claims = ["files", "kept", "idle", "raw", "moving"];
    const handles = (await Promise.all(claims.map((claim) => scope.bound(claim)))).map(
      ({ spec }) => spec.csi.volumeHandle as string,
    );
    for (const claim of claims) await scope.drop(claim);
    const { disks } = await cluster.rds.state();
    expect(disks.map(({ slot }) => slot)).toEqual([]);
    for (const node of cluster.nodes) {
      const state = `/var/lib/rds-csi/${node.name}`;
      // The computer may have other clusters, whose loop devices are seen here too.
      const names = handles.map((handle) => `-e ${handle}`).join(" ");
      const look = `set -e; ls ${state}; grep -s ${names} /sys/block/loop*/loop/backing_file || true`;
      expect(await node.run("sh", ["-c", look])).toBe("");
    }
  });

  test("the API has refused no account of the driver anything", async () => {
    expect(await refusedSince(since)).toEqual([]);
  });
});
