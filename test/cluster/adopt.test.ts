import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../docs/pages.fixture.ts";
import { earlierNqn } from "../support/earlier-commands.ts";
import { NODES } from "./cluster.ts";
import { EARLIER_PATCHES } from "./earlier/patches.ts";
import { until } from "./run.ts";
import { makeSiteFrom } from "./site.ts";
import { awaitNodesOf, COUNT, FILL, grow, inController, nqnOf, READ, shell, Writer } from "./swap.ts";
import { PlayedMachine } from "./virt-controller.ts";
import { api, cluster, diskOf, refusal, Scope } from "./world.ts";

const [A, B] = NODES;
const SITE = join(cluster.place.state, "site");
const EARLIER = `${SITE}-earlier`;
const ALL = ["files", "raw", "idle", "moving"];
/** Settings of a StorageClass of the earlier driver, which this one does not know. */
const EARLIER_CLASS = { nvmeAddress: "192.0.2.9", volumePath: "/storage-pool/kubernetes-volumes" };

const scope = new Scope("adopt");
afterAll(async () => {
  await cluster.rds.switches({
    ...{ "online-resize": "after-reexport", "slot-too-long": "by-version", "parent-missing": "error" },
  });
}, 60_000);

/** The first shell block below a heading of docs/adopt.md, with this cluster's folder in place of the reader's. */
async function commands(heading: string): Promise<string> {
  const page = await readFile(join(ROOT, "docs/adopt.md"), "utf8");
  const [, section = ""] = page.split(`# ${heading}\n`);
  const [, block = ""] = /<!-- cluster -->\n```sh\n(.*?)```/s.exec(section) ?? [];
  expect(block).not.toBe("");
  return block.replaceAll("manifests/sites/home", SITE);
}

async function installEarlier(): Promise<void> {
  await shell(`kubectl apply -k ${EARLIER}`);
  for (const name of ["deployment/rds-csi-controller", "daemonset/rds-csi-node"])
    await shell(`kubectl -n rds-csi rollout status ${name} --timeout=200s`);
}

const commentOf = async (claim: string) => (await diskOf(await scope.bound(claim)))?.comment ?? "";
const handleOf = async (claim: string): Promise<string> => (await scope.bound(claim)).spec.csi.volumeHandle;
const storageClass = (parameters: Readonly<Record<string, string>>) =>
  scope.storageClass("class", parameters);

describe("volumes in use, from the earlier driver to this one and back (docs/adopt.md)", () => {
  const files = new Writer(scope, "files", "fs");
  const raw = new Writer(scope, "raw", "block");
  let machine: PlayedMachine;
  let sum = "";
  const goOn = async () => {
    for (const writer of [files, raw]) await writer.goesOn();
  };

  beforeAll(async () => {
    await makeSiteFrom(SITE, EARLIER, undefined, {}, EARLIER_PATCHES);
    // RouterOS as it was when the earlier driver could make its volumes, 7.21 or 7.22; its folder comes with the first volume.
    await cluster.rds.switches({
      ...{ "online-resize": "at-once", "slot-too-long": "accept", "parent-missing": "create" },
    });
    await shell(`kubectl delete -k ${SITE}`);
    await installEarlier();
  }, 400_000);

  test("the earlier driver serves volumes", async () => {
    const claim = { storageClass: await storageClass(EARLIER_CLASS), size: "1Gi" };
    await Promise.all(["files", "idle"].map((name) => scope.claim(name, claim)));
    await scope.claim("raw", { ...claim, block: true });
    await scope.claim("moving", { ...claim, block: true, mode: "ReadWriteMany" });
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
    await awaitNodesOf(scope, "idle");
    await scope.shell(machine.pod, FILL);
    sum = await scope.shell(machine.pod, READ);
    await goOn();
    for (const claim of ALL) {
      const handle = await handleOf(claim);
      expect(handle).toMatch(/^pvc-[0-9a-f-]{36}$/);
      expect([await nqnOf(scope, claim), await commentOf(claim)]).toEqual([earlierNqn(handle), ""]);
    }
  });

  test("this one takes its place by the commands of the page: every pod writes on, and no volume is touched", async () => {
    const before = (await cluster.rds.state()).disks;
    await shell(await commands("Before"));
    await cluster.awaitDriver();
    await api.delete("StorageClass", `${scope.namespace}-class`);
    await storageClass({ migrationTimeoutSeconds: "600" });
    await goOn();
    await scope.pod("idle-2", { claims: ["idle"], node: B });
    await refusal((await scope.bound("idle")).metadata.name, B, /volumes adopt/);
    const plan = await inController("volumes", "adopt", "--all");
    for (const claim of ALL) expect(plan).toContain(`Volume ${await handleOf(claim)}\n`);
    expect(plan).toContain("4 volumes to adopt; 0 left alone; 0 adopted before.\nNothing was changed.");
    expect((await cluster.rds.state()).disks).toEqual(before);
    await goOn();
  });

  test("adopted: a record each, the same exports, and every pod writes on", async () => {
    await inController("volumes", "adopt", "--all", "--yes");
    for (const claim of ALL) expect(await commentOf(claim)).toStartWith(`rds1;n=${await handleOf(claim)};`);
    for (const claim of ["files", "raw", "moving"])
      expect(await nqnOf(scope, claim)).toBe(earlierNqn(await handleOf(claim)));
    await goOn();
    await scope.ready("idle-2", 240_000);
    expect(await scope.shell("idle-2", "cat /data/f")).toBe("kept");
    expect(await nqnOf(scope, "idle")).toMatch(/\.\d+-[0-9a-z]+$/);
    // Also with the refusals of before, which VolumeAttachments keep.
    await inController("volumes", "list", "--fail-on-problems");
  });

  test("a live migration under the earlier driver's NQN, and growth", async () => {
    const migration = await machine.migrate(B, "adopted");
    await migration.ready();
    await awaitNodesOf(scope, "moving", A, B);
    await migration.succeed();
    await awaitNodesOf(scope, "moving", B);
    expect(await scope.shell(machine.pod, READ)).toBe(sum);
    await grow(scope, "raw", "2Gi");
    expect(await scope.shell("raw", "blockdev --getsize64 /dev/vol")).toBe(String(2 ** 31));
    await goOn();
  });

  test("back: the workloads of this driver's attachments stop, and every other pod writes on", async () => {
    await scope.remove("idle-2");
    await machine.stop();
    for (const claim of ["idle", "moving"]) await awaitNodesOf(scope, claim);
    expect(await inController("volumes", "adopt", "--all", "--undo")).toContain(
      "4 volumes to give back, 0 left alone.",
    );
    await inController("volumes", "adopt", "--all", "--undo", "--yes");
    for (const claim of ALL) {
      expect(await commentOf(claim)).toBe("");
      expect(await diskOf(await scope.bound(claim))).toMatchObject({
        ...{ exported: true, nqn: earlierNqn(await handleOf(claim)) },
      });
    }
    await shell(await commands("Going back"));
    await installEarlier();
    await goOn();
  });

  test("the earlier driver has its volumes again: attach, detach, another node", async () => {
    await scope.pod("idle-3", { claims: ["idle"], node: A });
    await scope.pod("moving-3", { claims: ["moving"], node: A, block: true });
    await scope.ready("idle-3", 240_000);
    await scope.ready("moving-3", 240_000);
    expect(await scope.shell("idle-3", "cat /data/f")).toBe("kept");
    expect(await scope.shell("moving-3", READ)).toBe(sum);
    await scope.remove("idle-3", "moving-3", "files");
    for (const claim of ["idle", "moving", "files"]) await awaitNodesOf(scope, claim);
    await scope.pod("files-2", { claims: ["files"], node: B });
    await scope.ready("files-2", 240_000);
    expect(Number(await scope.shell("files-2", COUNT.fs))).toBeGreaterThan(3);
    expect(await scope.shell("files-2", "awk '$1 != NR - 1' /data/log | head -n 1")).toBe("");
    await raw.goesOn();
  });

  test("forth again: adopted once more, used, and deleted without a rest", async () => {
    await shell(await commands("Before"));
    await cluster.awaitDriver();
    await inController("volumes", "adopt", "--all", "--yes");
    await raw.goesOn();
    await scope.pod("idle-4", { claims: ["idle"], node: B });
    await scope.ready("idle-4", 240_000);
    expect(await scope.shell("idle-4", "cat /data/f")).toBe("kept");
    await scope.remove("idle-4", "files-2", "raw");
    const handles = await Promise.all(ALL.map(handleOf));
    for (const claim of ALL) await scope.drop(claim);
    expect((await cluster.rds.state()).disks).toEqual([]);
    for (const node of cluster.nodes) {
      // The computer may have other clusters, whose loop devices are seen here too.
      const names = handles.map((handle) => `-e ${handle}`).join(" ");
      const look = `set -e; ls /var/lib/rds-csi/${node.name}; grep -s ${names} /sys/block/loop*/loop/backing_file || true`;
      await until(`no connection on ${node.name}`, async () => (await node.run("sh", ["-c", look])) === "");
    }
  });
});
