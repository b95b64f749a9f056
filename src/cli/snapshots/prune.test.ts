import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BUILT_IN } from "../../../test/support/kubernetes/fake-api-server.ts";
import { startWorld, volumeSnapshot, type World } from "../../../test/support/kubernetes/world.ts";
import { testIo } from "../cli.fixture.ts";
import { main } from "../main.ts";

let world: World;
let kubeconfig: string;
beforeEach(async () => {
  world = await startWorld();
  kubeconfig = await world.api.writeKubeconfig(join(world.dir, "admin"));
  for (const day of [1, 2, 3, 4])
    for (const object of volumeSnapshot(`disk-${day}`, `snap-${day}`, {
      labels: { schedule: "nightly" },
      createdAt: `2026-02-0${day}T02:00:00Z`,
    }))
      world.api.apply(object);
});
afterEach(() => world.stop());

const left = (namespace = "vms") =>
  world.api.list("VolumeSnapshot", namespace).map(({ metadata }) => metadata.name as string);
async function prune(...args: string[]) {
  const io = testIo();
  const cluster = ["--orchestrator", "kubernetes", "--kubeconfig", kubeconfig];
  const code = await main(["snapshots", "prune", ...cluster, ...args], io);
  return { code, ...io.written };
}
const NIGHTLY = ["-n", "vms", "--selector", "schedule=nightly"] as const;

describe("rds-csi snapshots prune", () => {
  test("without --yes only says what would be deleted", async () => {
    const { code, out } = await prune("--keep", "2", ...NIGHTLY);
    expect(code).toBe(0);
    expect(out).toMatch(/\ndelete +disk-2 +disk +\d+d +2 newer ones are kept\ndelete +disk-1 /);
    expect(out).toContain("4 VolumeSnapshots of 1 claim in namespace vms: 2 to delete, 2 to keep.\n");
    expect(out).toEndWith("Nothing was changed. The same command with --yes deletes them.\n");
    expect(left()).toHaveLength(4);
    expect(world.api.accesses.map(({ verb }) => verb)).not.toContain("delete");
  });

  test("with --yes deletes them, the oldest first, and again nothing", async () => {
    const { out } = await prune("--keep", "2", ...NIGHTLY, "--yes");
    expect(out).toContain("vms/disk-1: deleted\nvms/disk-2: deleted\n");
    expect(left()).toEqual(["disk-3", "disk-4"]);
    const again = await prune("--keep", "2", ...NIGHTLY, "--yes");
    expect(again.out).toBe("2 VolumeSnapshots of 1 claim in namespace vms: 0 to delete, 2 to keep.\n");
    expect(left()).toHaveLength(2);
  });

  test("what the selection does not name stays: other labels, namespaces, claims", async () => {
    const more = [
      volumeSnapshot("by-hand", "snap-5", { createdAt: "2026-01-01T02:00:00Z" }),
      volumeSnapshot("there", "snap-6", { namespace: "shop", labels: { schedule: "nightly" } }),
      volumeSnapshot("other", "snap-7", { claim: "other", labels: { schedule: "nightly" } }),
    ];
    for (const object of more.flat()) world.api.apply(object);
    await prune("--keep", "1", ...NIGHTLY, "--source", "disk", "--yes");
    expect(left().toSorted()).toEqual(["by-hand", "disk-4", "other"]);
    expect(left("shop")).toEqual(["there"]);
  });

  test("snapshots of another driver, or whose content is gone, are never deleted, and do not count", async () => {
    world.api.delete("VolumeSnapshotContent", "snapcontent-disk-1");
    const [, content] = volumeSnapshot("disk-4", "s-4", { driver: "other.example.org" });
    world.api.delete("VolumeSnapshotContent", "snapcontent-disk-4");
    world.api.apply(content as never);
    const { out } = await prune("--keep", "1", ...NIGHTLY, "--yes");
    expect(out).toMatch(/\nkeep +disk-4 +disk +\d+d +it is of another driver\n/);
    expect(out).toMatch(/\nkeep +disk-1 .*its VolumeSnapshotContent, which names the driver, is gone\n/);
    expect(left()).toEqual(["disk-1", "disk-3", "disk-4"]);
  });

  test("--older-than; the plan and its outcome as JSON", async () => {
    const { out } = await prune("--keep", "1", "--older-than", "1000w", ...NIGHTLY, "-o", "json");
    expect(JSON.parse(out).items.map(({ action }: { action: string }) => action)).toEqual(
      Array(4).fill("keep"),
    );
    const done = JSON.parse((await prune("--keep", "3", ...NIGHTLY, "-o", "json", "--yes")).out);
    expect(done).toMatchObject({ kind: "SnapshotPrune", namespace: "vms", carriedOut: true });
    expect(done.items.at(-1)).toEqual({
      ...{ name: "disk-1", claim: "disk", createdAt: "2026-02-01T02:00:00Z", cutAt: "2026-02-01T02:00:00Z" },
      ...{ action: "delete", why: "3 newer ones are kept", outcome: "deleted" },
    });
  });

  test("a cut while the RDS's clock was wrong: what both clocks call old goes, the rest stays, and the exit code is 1", async () => {
    const shape = { labels: { schedule: "nightly" }, createdAt: "2026-02-05T02:00:00Z" };
    const wrong = volumeSnapshot("disk-5", "snap-5", { ...shape, cutAt: "1970-01-02T00:00:10Z" });
    for (const object of wrong) world.api.apply(object);
    const planned = await prune("--keep", "2", ...NIGHTLY);
    expect(planned.code).toBe(1);
    expect(planned.out).toEndWith("Nothing was changed. The same command with --yes deletes them.\n");
    const { code, out, err } = await prune("--keep", "2", ...NIGHTLY, "--yes");
    expect(code).toBe(1);
    expect(out).toEndWith("\nvms/disk-1: deleted\nvms/disk-2: deleted\n");
    expect(err).toContain(
      "disagree on the age of VolumeSnapshots, so these are kept: vms/disk-5, vms/disk-3. The two times of these are far apart: vms/disk-5 (created 2026-02-05T02:00:00Z by Kubernetes, cut 1970-01-02T00:00:10Z by the RDS).",
    );
    expect(err).toContain("Set the clock of the RDS by NTP");
    expect(left()).toEqual(["disk-3", "disk-4", "disk-5"]);

    world.api.delete("VolumeSnapshotContent", "snapcontent-disk-5");
    const [, content] = volumeSnapshot("disk-5", "s-5", { driver: "other.example.org" });
    world.api.apply(content as never);
    world.api.delete("VolumeSnapshot", "disk-3", "vms");
    const others = await prune("--keep", "1", ...NIGHTLY);
    expect([others.code, others.out]).toEqual([
      0,
      expect.stringMatching(/keep +disk-5 .* of another driver\n/),
    ]);
  });

  test("one that was made anew between plan and deletion is kept", async () => {
    world.api.faults.push({
      times: 1,
      delayMs: 1,
      match: ({ verb }) => {
        if (verb !== "delete" || left().length < 4) return false;
        world.api.delete("VolumeSnapshot", "disk-1", "vms");
        const [made] = volumeSnapshot("disk-1", "snap-1", { namespace: "vms" }) as [
          { metadata: { uid: string } },
        ];
        made.metadata.uid = "uid-anew";
        world.api.apply(made);
        return true;
      },
    });
    const { out } = await prune("--keep", "3", ...NIGHTLY, "--yes");
    expect(out).toContain("vms/disk-1: was made anew meanwhile, and is kept\n");
    expect(left()).toContain("disk-1");
  });

  test("the examples of its help do what they say, the second with --yes", async () => {
    const help = testIo();
    expect(await main(["snapshots", "prune", "--help"], help)).toBe(0);
    const [, examples = ""] = /\nExamples:\n(.+?)\n\n/s.exec(help.written.out) ?? [];
    const commands = examples.trim().split(/\n\s*/);
    expect(commands).toHaveLength(2);
    for (const day of [1, 2, 3, 4, 5, 6, 7, 8])
      for (const object of volumeSnapshot(`database-${day}`, `snap-db-${day}`, {
        ...{ claim: "database", labels: { schedule: "nightly" }, createdAt: `2026-01-0${day}T02:00:00Z` },
      }))
        world.api.apply(object);
    for (const [command, remain] of [
      [commands[0], 12],
      [commands[1], 11],
    ] as const) {
      const [program, ...args] = (command ?? "").replace("~/.kube/config", kubeconfig).split(/\s+/);
      const io = testIo();
      expect([program, await main(args, io), io.written.err]).toEqual(["rds-csi", 0, ""]);
      expect(io.written.out).toMatch(/\ndelete +database-1 /);
      expect(left()).toHaveLength(remain);
    }
    expect(left()).not.toContain("database-1");
  });

  test("refuses without a cluster, without CRDs, without a right, without a selection", async () => {
    const io = testIo();
    expect(await main(["snapshots", "prune", "--keep", "1", "--selector", "a=b"], io)).toBe(1);
    expect(io.written.err).toContain("snapshots are pruned in Kubernetes only, and there is no cluster");
    for (const selection of [[], ["--selector", " "]]) {
      const all = await prune("--keep", "1", "-n", "vms", ...selection, "--yes");
      expect(all.code).toBe(2);
      expect(all.err).toContain("--selector or --source must say");
    }
    const zero = await prune("--keep", "0", ...NIGHTLY, "--yes");
    expect([zero.code, left().length]).toEqual([2, 4]);
    world.api.rules = [];
    expect((await prune("--keep", "1", ...NIGHTLY, "--yes")).err).toContain("may not list volumesnapshots");
    world.api.rules = undefined;
    world.api.types.splice(0, Number.POSITIVE_INFINITY, ...BUILT_IN);
    expect((await prune("--keep", "1", ...NIGHTLY, "--yes")).err).toContain(
      "the CRDs of external-snapshotter are not installed",
    );
  });
});
