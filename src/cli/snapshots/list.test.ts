import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { parse } from "yaml";
import { BUILT_IN } from "../../../test/support/kubernetes/fake-api-server.ts";
import { volumeSnapshot } from "../../../test/support/kubernetes/world.ts";
import { partsOfHandle } from "../../domain/snapshot-id.ts";
import { testIo } from "../cli.fixture.ts";
import { main } from "../main.ts";
import { type SnapshotStand, startSnapshotStand } from "./snapshots.fixture.ts";

let on: SnapshotStand;
beforeEach(async () => {
  on = await startSnapshotStand();
});
afterEach(() => on.close());

/** Runs the program. @param cluster whether it may ask the cluster */
async function run(args: readonly string[], { cluster = true, columns }: RunOptions = {}) {
  const io = testIo({ columns });
  const options = { ...on.flags, ...(cluster ? on.cluster : {}) };
  const flags = Object.entries(options).flatMap(([name, values]) =>
    values.flatMap((value) => [`--${name}`, value]),
  );
  const code = await main([...args, ...flags], io);
  return { code, ...io.written };
}
interface RunOptions {
  readonly cluster?: boolean;
  readonly columns?: number;
}

const apply = (objects: readonly object[]): void => {
  for (const object of objects) on.world.api.apply(object);
};
const LOST = "snap-ffffffffffffffffffffffffffff";

describe("rds-csi snapshots list", () => {
  test("everything that both sides know; two RouterOS commands besides the version's", async () => {
    const [named, unnamed] = [await on.cut("snapshot-1"), await on.cut("by-hand")];
    apply(volumeSnapshot("monday", named, { volume: on.volume }));
    apply(volumeSnapshot("lost", LOST, { volume: "csi-0123456789abcdef0123456789ab" }));
    apply(volumeSnapshot("theirs", "s-1", { driver: "other.example.org" }));
    // One that is being cut is not missing.
    apply(volumeSnapshot("begun", "", { ready: false }));
    on.stack.commandsSince();
    const { code, out } = await run(["snapshots", "list", "-o", "json"]);
    expect(code).toBe(0);
    expect(on.stack.commandsSince().filter((line) => !line.includes("/system/resource"))).toHaveLength(2);
    const document = JSON.parse(out);
    expect(document).toMatchObject({ kind: "SnapshotList", total: 3, bytesAtMost: 2 << 20, unknown: [] });
    const item = {
      source: { handle: on.volume, exists: true },
      pvc: { namespace: "vms", name: "disk" },
      sizeBytes: 1 << 20,
      content: "block",
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      pool: { slot: "storage-pool", label: "storage-pool-fs" },
    };
    const found = new Map(document.items.map((each: { handle: string }) => [each.handle, each]));
    expect(found.get(named)).toMatchObject({
      ...item,
      state: "named",
      path: expect.stringMatching(new RegExp(`^csi/${partsOfHandle(named).id}[.]1[.]${on.volume}[.]`)),
      contents: [{ name: "snapcontent-monday", snapshot: { namespace: "vms", name: "monday" } }],
    });
    expect(found.get(unnamed)).toMatchObject({ ...item, state: "unnamed", contents: [] });
    expect(found.get(LOST)).toMatchObject({
      ...{ state: "missing", pool: null, path: "", createdAt: null, pvc: null },
      source: { handle: "csi-0123456789abcdef0123456789ab", exists: false },
    });
    expect(parse((await run(["snapshots", "list", "-o", "yaml"])).out)).toEqual(document);
  });

  test("one that its VolumeSnapshotContent does not name yet is named, and not missing", async () => {
    await on.cut("snapshot-uid-vms-begun");
    apply(volumeSnapshot("begun", "", { volume: on.volume }));
    const { items } = JSON.parse((await run(["snapshots", "list", "-o", "json"])).out);
    expect(items.map(({ state }: { state: string }) => state)).toEqual(["named"]);
  });

  test("the time of the cut is that of the RDS, and the source may be gone", async () => {
    const id = await on.cut("snapshot-1");
    const [made] = await on.stack.rds.snapshots.list({}, on.stack.signal);
    await on.stack.volumes.delete(on.volume, on.stack.signal);
    on.world.api.delete("PersistentVolume", "pvc-1");
    const { out } = await run(["snapshots", "list", "-o", "json"]);
    const [item] = JSON.parse(out).items;
    expect(item).toMatchObject({ handle: id, source: { handle: on.volume, exists: false }, pvc: null });
    const seconds = (made?.record.createdNs ?? 0n) / 1_000_000_000n;
    expect(Date.parse(item.createdAt)).toBe(Number(seconds) * 1_000);
    expect((await run(["snapshots", "list"])).out).toContain("(source gone)");
    expect((await run(["snapshots", "list", "-o", "wide"])).out).toContain(`${on.volume} (gone)`);
  });

  test("for people: fits the terminal, worst first; the sum counts nothing that is missing", async () => {
    const id = await on.cut("snapshot-1");
    apply(volumeSnapshot("a-name-of-a-snapshot-that-is-rather-long", id, { volume: on.volume }));
    apply(volumeSnapshot("lost", LOST));
    const { out } = await run(["snapshots", "list"], { columns: 80 });
    for (const line of out.split("\n")) expect([...line].length).toBeLessThanOrEqual(80);
    expect(out).toMatch(/^STATE +SIZE +HOLDS +PVC +VOLUMESNAPSHOT +AGE +HANDLE\nmissing .*\nnamed /);
    expect(out).toContain("2 snapshots, they may hold 1Mi at most; 1 missing on the RDS.");
    // The cut handle is enough for `show`.
    const [cut = ""] = /snap-\S*…/.exec(out.split("\nnamed")[1] ?? "") ?? [];
    expect((await run(["snapshots", "show", cut])).out).toContain(`Snapshot ${id}\n`);
    expect((await run(["snapshots", "list"], { cluster: false })).out).toMatch(/\nunknown +1Mi +block/);
  });

  test("selections, and an answer to an empty one", async () => {
    const [first, second] = [await on.cut("snapshot-1"), await on.cut("snapshot-2")];
    apply(volumeSnapshot("monday", first, { namespace: "shop" }));
    const handles = async (...args: string[]) =>
      JSON.parse((await run(["snapshots", "list", "-o", "json", ...args])).out).items.map(
        ({ handle }: { handle: string }) => handle,
      );
    expect(await handles("-n", "shop")).toEqual([first]);
    expect(await handles("-n", "vms")).toEqual([first, second].toSorted());
    expect(await handles("--source", "vms/disk")).toHaveLength(2);
    expect(await handles("--source", on.volume, "--state", "unnamed")).toEqual([second]);
    const { out } = await run(["snapshots", "list", "--source", "vms/disc"]);
    expect(out).toContain("No snapshot matches --source vms/disc. 2 snapshots exist.");
    expect(out).toContain("Did you mean vms/disk?");
  });

  test("--fail-on-problems: 3 for one that nothing names, 1 when the cluster does not answer", async () => {
    const id = await on.cut("snapshot-1");
    expect((await run(["snapshots", "list", "--fail-on-problems"])).code).toBe(3);
    expect((await run(["snapshots", "list", "--fail-on-problems"], { cluster: false })).code).toBe(0);
    apply(volumeSnapshot("monday", id));
    expect((await run(["snapshots", "list", "--fail-on-problems"])).code).toBe(0);
    await on.world.api.down();
    const silent = await run(["snapshots", "list", "--fail-on-problems", "--timeout", "5"]);
    await on.world.api.up();
    expect(silent.code).toBe(1);
    expect(silent.out).toContain("\nNot known:\nKubernetes: Kubernetes could not be asked");
    expect(silent.out).toMatch(/\nunknown /);
  });

  test("a cluster without VolumeSnapshots names none, and that is no fault", async () => {
    await on.cut("snapshot-1");
    on.world.api.types.splice(0, Number.POSITIVE_INFINITY, ...BUILT_IN);
    const { out } = await run(["snapshots", "list"]);
    expect(out).toMatch(/\nunnamed /);
    expect(out).not.toContain("Not known");
  });
});

describe("rds-csi snapshots show", () => {
  test("by handle, VolumeSnapshot, content, or a beginning", async () => {
    const id = await on.cut("snapshot-1");
    apply(volumeSnapshot("monday", id, { volume: on.volume }));
    for (const name of [id, "vms/monday", "monday", "snapcontent-monday", id.slice(0, 12), "vms/mon"]) {
      const { code, out } = await run(["snapshots", "show", name]);
      expect([name, code, out.split("\n")[0]]).toEqual([name, 0, `Snapshot ${id}`]);
    }
    const { out } = await run(["snapshots", "show", "-n", "vms", "monday"]);
    expect(out).toMatch(/ {2}state +named: a VolumeSnapshotContent names it\n/);
    expect(out).toMatch(new RegExp(` {2}source +${on.volume}\n {2}claim +vms/disk\n`));
    expect(out).toMatch(/ {2}size +1Mi \(1048576 bytes\)\n {2}holds +block\n/);
    expect(out).toMatch(/ {2}created +\d{4}-\d\d-\d\dT[\d:]+Z, \d+[smhd] ago\n/);
    expect(out).toMatch(/ {2}content +snapcontent-monday, policy Delete, ready\n/);
    const json = JSON.parse((await run(["snapshots", "show", id, "-o", "json"])).out);
    expect(json).toMatchObject({ apiVersion: "rds-csi/v1", kind: "Snapshot", handle: id, state: "named" });
  });

  test("a name that nothing has, and one that two have", async () => {
    await Promise.all([on.cut("snapshot-1"), on.cut("snapshot-2")]);
    const unknown = await run(["snapshots", "show", "vms/tuesday"]);
    expect(unknown.code).toBe(1);
    expect(unknown.err).toContain('no snapshot is called "vms/tuesday": the RDS');
    const several = await run(["snapshots", "show", "snap-"]);
    expect(several.err).toContain('"snap-" fits 2 snapshots: snap-');
    // A cluster that is silent may know the name.
    await on.world.api.down();
    const silent = await run(["snapshots", "show", "vms/tuesday", "--timeout", "5"]);
    await on.world.api.up();
    expect(silent.err).toContain("Kubernetes could not be asked");
    expect(silent.err).not.toContain("no snapshot is called");
  });
});
