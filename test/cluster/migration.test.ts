import { beforeAll, describe, expect, test } from "bun:test";
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { NODES } from "./cluster.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { attachedNodes, awaitNodes, cluster, refusal, Scope } from "./world.ts";

const scope = new Scope("migration");
const [A, B] = NODES;
const CLAIM = "PersistentVolumeClaim";
const AUDIT_LOG = join(cluster.control.directory, "audit.log");
// An API server that has just started refuses for a moment what it has not read the roles for: other tests kill it.
const auditedBefore = (await stat(AUDIT_LOG)).size;
const disk = { mode: "ReadWriteMany", block: true, storageClass: "migration-vm" } as const;
// As the class rds-vm of the manifests, but deleted with its claims.
beforeAll(() => scope.storageClass("vm", { migrationGuard: "enforce", migrationTimeoutSeconds: "auto" }));

const READ = "dd if=/dev/vol bs=1M count=8 2>/dev/null | sha256sum";
const WRITE = "dd if=/dev/urandom of=/dev/vol bs=1M count=8 2>/dev/null; sync";

/** A claim and the name of its volume. */
async function newDisk(name: string): Promise<string> {
  await scope.claim(name, disk);
  return (await scope.bound(name)).metadata.name;
}

describe.concurrent("a live migration", () => {
  test("has both nodes attached until it has succeeded, then only the new one; the data are the same", async () => {
    const volume = await newDisk("moves");
    const machine = new PlayedMachine(scope, "moves", ["moves"]);
    await machine.start(A);
    await machine.running();
    await scope.shell(machine.pod, WRITE);
    const sum = await scope.shell(machine.pod, READ);
    const migration = await machine.migrate(B);
    await migration.ready();
    await awaitNodes(volume, A, B);
    await scope.event(CLAIM, "moves", "MigrationStarted", /from node-1 to node-2/);
    await migration.succeed();
    await awaitNodes(volume, B);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await scope.event(CLAIM, "moves", "MigrationCompleted", /the volume is on node-2/);
    expect(await scope.describeClaim("moves")).toContain("Live migration completed after");
    await machine.stop();
    await scope.drop("moves");
  });

  test("that fails leaves the volume on its node, and a second try succeeds", async () => {
    const volume = await newDisk("fails");
    const machine = new PlayedMachine(scope, "fails", ["fails"]);
    await machine.start(A);
    await machine.running();
    await scope.shell(machine.pod, WRITE);
    const sum = await scope.shell(machine.pod, READ);
    const first = await machine.migrate(B, "fails-1");
    await first.ready();
    await first.fail();
    await awaitNodes(volume, A);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await scope.event(CLAIM, "fails", "MigrationFailed", /the volume is on node-1/);
    const second = await machine.migrate(B, "fails-2");
    await second.ready();
    await second.succeed();
    await awaitNodes(volume, B);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await machine.stop();
    await scope.drop("fails");
  });

  test("that is cancelled leaves the volume on its node", async () => {
    const volume = await newDisk("cancelled");
    const machine = new PlayedMachine(scope, "cancelled", ["cancelled"]);
    await machine.start(A);
    await machine.running();
    const migration = await machine.migrate(B);
    await migration.ready();
    await migration.cancel();
    await awaitNodes(volume, A);
    await scope.event(CLAIM, "cancelled", "MigrationFailed", /the volume is on node-1/);
    await machine.stop();
    await scope.drop("cancelled");
  });

  test("that takes too long is reported, and detached from nobody", async () => {
    const hasty = await scope.storageClass("hasty", { migrationTimeoutSeconds: "30" });
    await scope.claim("slow", { ...disk, storageClass: hasty });
    const volume = (await scope.bound("slow")).metadata.name;
    const machine = new PlayedMachine(scope, "slow", ["slow"]);
    await machine.start(A);
    await machine.running();
    const migration = await machine.migrate(B);
    await migration.ready();
    await scope.event(
      CLAIM,
      "slow",
      "MigrationFailed",
      /Reason timeout.*node-1 and node-2 keep the volume/,
      150_000,
    );
    expect(await attachedNodes(volume)).toEqual([A, B]);
    await migration.succeed();
    await awaitNodes(volume, B);
    await machine.stop();
    await scope.drop("slow");
  });

  test("takes a hot-plugged disk along, which has pods of its own", async () => {
    await newDisk("boot");
    const volume = await newDisk("plugged");
    const machine = new PlayedMachine(scope, "plug", ["boot"]);
    await machine.start(A);
    await machine.running();
    const before = await machine.hotplug("plugged", A);
    await scope.ready(before);
    await scope.shell(before, WRITE);
    const sum = await scope.shell(before, READ);
    const migration = await machine.migrate(B);
    await migration.ready();
    const after = await machine.hotplug("plugged", B, migration.pod);
    await scope.ready(after);
    await awaitNodes(volume, A, B);
    await migration.succeed();
    await scope.remove(before);
    await awaitNodes(volume, B);
    expect(await scope.shell(after, READ)).toBe(sum);
    await scope.remove(after);
    await machine.stop();
    for (const name of ["plugged", "boot"]) await scope.drop(name);
  });

  test("is not needed for a hot-plugged disk, which goes from one machine to another", async () => {
    for (const name of ["boot-a", "boot-b"]) await newDisk(name);
    const volume = await newDisk("shuttle");
    const first = new PlayedMachine(scope, "plug-a", ["boot-a"]);
    const second = new PlayedMachine(scope, "plug-b", ["boot-b"]);
    await first.start(A);
    await second.start(B);
    await first.running();
    await second.running();
    const before = await first.hotplug("shuttle", A);
    await scope.ready(before);
    await scope.shell(before, WRITE);
    const sum = await scope.shell(before, READ);
    await scope.remove(before);
    await awaitNodes(volume);
    const after = await second.hotplug("shuttle", B);
    await scope.ready(after);
    expect(await scope.shell(after, READ)).toBe(sum);
    await awaitNodes(volume, B);
    await scope.remove(after);
    for (const machine of [first, second]) await machine.stop();
    for (const name of ["shuttle", "boot-a", "boot-b"]) await scope.drop(name);
  });

  test("moves all disks of the machine", async () => {
    const volumes = [await newDisk("root"), await newDisk("data")];
    const machine = new PlayedMachine(scope, "two", ["root", "data"]);
    await machine.start(A);
    await machine.running();
    await scope.shell(
      machine.pod,
      "for d in /dev/vol /dev/vol1; do echo $d | dd of=$d 2>/dev/null; done; sync",
    );
    const migration = await machine.migrate(B);
    await migration.ready();
    for (const volume of volumes) await awaitNodes(volume, A, B);
    await migration.succeed();
    for (const volume of volumes) await awaitNodes(volume, B);
    const read = "for d in /dev/vol /dev/vol1; do dd if=$d count=1 2>/dev/null | head -n 1; done";
    expect(await scope.shell(machine.pod, read)).toBe("/dev/vol\n/dev/vol1");
    await machine.stop();
    for (const name of ["root", "data"]) await scope.drop(name);
  });
});

describe.concurrent("a second node without a live migration is refused at once", () => {
  test("for a plain pod, and the refusal says why", async () => {
    const volume = await newDisk("plain");
    await scope.pod("plain-1", { claims: ["plain"], block: true, node: A });
    await scope.ready("plain-1");
    await scope.pod("plain-2", { claims: ["plain"], block: true, node: B });
    const reason = await refusal(volume, B, /no live migration is proven/);
    // The sidecar tells the refusal at the first call; the driver's own event follows once it has lasted.
    expect(await scope.describeClaim("plain")).not.toContain("AttachmentConflict");
    expect(reason).toContain("node node-1");
    await scope.event("Pod", "plain-2", "FailedAttachVolume", /no live migration is proven/);
    // Of the driver, once the refusal has lasted.
    await scope.event(CLAIM, "plain", "AttachmentConflict", /node-2/, 150_000);
    expect(await scope.describeClaim("plain")).toContain("AttachmentConflict");
    expect(await attachedNodes(volume)).toEqual([A]);
    await scope.remove("plain-1");
    // Attacher, attach controller and kubelet have each waited longer from try to try, up to two minutes.
    await scope.ready("plain-2", 240_000);
    await scope.remove("plain-2");
    await scope.drop("plain");
  });

  test("for another machine", async () => {
    const volume = await newDisk("shared");
    const first = new PlayedMachine(scope, "shared-1", ["shared"]);
    await first.start(A);
    await first.running();
    const second = new PlayedMachine(scope, "shared-2", ["shared"]);
    await second.start(B);
    expect(await refusal(volume, B, /no live migration is proven/)).toContain("shared-");
    expect(await attachedNodes(volume)).toEqual([A]);
    await second.stop();
    await first.stop();
    await scope.drop("shared");
  });

  test("for a second launcher of the machine that no migration belongs to", async () => {
    const volume = await newDisk("stray");
    const machine = new PlayedMachine(scope, "stray", ["stray"]);
    await machine.start(A);
    await machine.running();
    await machine.launch(B);
    await refusal(volume, B, /KubeVirt knows of no unfinished migration/);
    expect(await attachedNodes(volume)).toEqual([A]);
    await machine.stop();
    await scope.drop("stray");
  });
});

describe.concurrent("hand-overs on other nodes, which take their time", () => {
  test("from an importer's pod to the machine", async () => {
    const volume = await newDisk("imported");
    await scope.pod("importer", { claims: ["imported"], block: true, node: A, script: `${WRITE}; ${READ}` });
    const sum = (await scope.ended("importer")).trim();
    const machine = new PlayedMachine(scope, "imported", ["imported"]);
    await machine.start(B);
    // A pod that has succeeded holds its volume until it is deleted, as CDI does.
    await scope.remove("importer");
    await machine.running(150_000);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await awaitNodes(volume, B);
    await machine.stop();
    await scope.drop("imported");
  });

  test("of a machine that is stopped and started", async () => {
    const volume = await newDisk("restarted");
    const before = new PlayedMachine(scope, "restarted", ["restarted"]);
    await before.start(A);
    await before.running();
    await scope.shell(before.pod, WRITE);
    const sum = await scope.shell(before.pod, READ);
    await before.stop();
    const after = new PlayedMachine(scope, "restarted", ["restarted"]);
    await after.start(B);
    await after.running(150_000);
    expect(after.uid).not.toBe(before.uid);
    expect(await scope.shell(after.pod, READ)).toBe(sum);
    await awaitNodes(volume, B);
    await after.stop();
    await scope.drop("restarted");
  });
});

test("the API has refused no account of the driver anything", async () => {
  const log = await readFile(AUDIT_LOG);
  const entries = log
    .subarray(auditedBefore)
    .toString("utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  expect(entries.length).toBeGreaterThan(100);
  // Another test shows with a node's token what it may not do: its requests are those of Bun itself.
  const refused = entries.filter(
    ({ responseStatus, userAgent }) => responseStatus?.code === 403 && !userAgent.startsWith("Bun/"),
  );
  expect(refused.map(({ user, verb, requestURI }) => [user.username, verb, requestURI])).toEqual([]);
});
