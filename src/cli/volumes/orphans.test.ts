import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../../test/support/clock.ts";
import { leaveFile, placeOf, stored } from "../../../test/support/file-layouts.ts";
import { CLUSTER_UID } from "../../../test/support/kubernetes/fake-api-server.ts";
import { persistentVolume, volumeSnapshot } from "../../../test/support/kubernetes/world.ts";
import { BLOCK, MIB } from "../../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { silentLogger } from "../../observability/log.ts";
import { RecordKeeper } from "../../records/keeper.ts";
import { DAYS_OLD, type OrphanStand, startOrphanStand } from "./orphans.fixture.ts";

let on: OrphanStand;
beforeEach(async () => {
  on = await startOrphanStand();
});
afterEach(() => on.close());

const LEFT = volumeIdFromName("left");
const verdicts = async (args: readonly string[] = []) =>
  Object.fromEntries(
    (await on.list(args)).map(({ name, kind, deletable }) => [name, `${kind} ${deletable}`]),
  );
const whyOf = async (name: string) => (await on.list()).find((each) => each.name === name)?.why;
const cut = async (source: string, name: string) =>
  (
    await on.stack.snapshots.create({
      ...{ name, source: source as never, parameters: {}, signal: on.stack.signal },
    })
  ).id;

describe("what is listed", () => {
  test("one of each kind, with pool, size, age and reason; what the cluster names is not there", async () => {
    const [free, known] = [await on.volume("free"), await on.volume("known")];
    const [mine, theirs] = [await cut(known, "unnamed"), await cut(known, "named")];
    await leaveFile(on.stack, LEFT, "plain", { size: 2n * MIB });
    const other = volumeIdFromName("other");
    await leaveFile(on.stack, other, "subvolume", { size: 3n * MIB });
    on.world.api.apply(persistentVolume("pv", known));
    for (const each of volumeSnapshot("monday", theirs, { volume: known })) on.world.api.apply(each);
    on.now();
    on.stack.commandsSince();
    const found = await on.list();
    expect(on.stack.commandsSince().filter((line) => !line.includes("/system/resource"))).toHaveLength(5);
    const common = { pool: "storage-pool", since: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]+Z$/) };
    expect(found).toEqual([
      {
        ...{ ...common, kind: "disk", name: free, path: `storage-pool/csi/${free}/disk.img` },
        ...{ sizeBytes: Number(MIB), reason: "no PersistentVolume names it", deletable: "yes" },
        why: "its record names this cluster, and nothing uses it",
      },
      ...[
        { kind: "file", name: LEFT, form: "plain", sizeBytes: 2 * Number(MIB) } as const,
        { kind: "subvolume", name: other, form: "subvolume", sizeBytes: 3 * Number(MIB) } as const,
      ]
        .toSorted((a, b) => (a.name < b.name ? -1 : 1))
        .map(({ form, ...each }) => ({
          ...{ ...common, ...each, path: placeOf(each.name, form), deletable: "named" },
          reason: "it has no disk item, and no PersistentVolume names it",
          why: "no record says which cluster it is of: name it to delete it",
        })),
      {
        ...{ ...common, kind: "snapshot", name: mine, sizeBytes: Number(MIB), deletable: "yes" },
        path: expect.stringMatching(/^storage-pool\/csi\/snap-/),
        reason: `no VolumeSnapshotContent names it; it is of volume ${known}`,
        why: "its name has the id of this cluster, and nothing uses it",
      },
    ]);
    for (const { since } of found) {
      const days = (Date.now() - Date.parse(since ?? "")) / 86_400_000;
      expect(days).toBeGreaterThan(DAYS_OLD - 0.1);
      expect(days).toBeLessThan(DAYS_OLD + 0.1);
    }
  });

  test("without orphans, without a cluster, and with one that does not answer", async () => {
    expect((await on.run()).out).toStartWith("No orphans");
    await on.volume("free");
    on.now();
    const alone = await on.run([], { cluster: false, clusterId: CLUSTER_UID });
    expect([alone.code, alone.out]).toEqual([1, ""]);
    expect(alone.err).toContain("only Kubernetes can say which volumes and snapshots nobody names");
    await on.world.api.down();
    for (const args of [[], ["--delete", "--all", "--yes"]]) {
      const silent = await on.run([...args, "--timeout", "5"], { clusterId: CLUSTER_UID });
      expect([silent.code, silent.out]).toEqual([1, ""]);
      expect(silent.err).toContain("Kubernetes could not be asked");
    }
    await on.world.api.up();
  });

  test("a list of the cluster that may not be read is no empty list", async () => {
    await on.volume("free");
    on.now();
    const all = [
      "namespaces",
      "persistentvolumes",
      "configmaps",
      "volumeattachments",
      "volumesnapshotcontents",
    ];
    const apiGroups = ["", "storage.k8s.io", "snapshot.storage.k8s.io"];
    for (const missing of ["persistentvolumes", "volumeattachments", "volumesnapshotcontents"]) {
      const resources = all.filter((each) => each !== missing);
      on.world.api.rules = [{ verbs: ["get", "list"], apiGroups, resources }];
      const { code, out, err } = await on.run();
      expect([missing, code, out]).toEqual([missing, 1, ""]);
      expect(err).toContain(missing);
    }
    on.world.api.rules = [
      { verbs: ["get", "list"], apiGroups, resources: all.filter((each) => each !== "configmaps") },
    ];
    expect((await on.run()).code).toBe(0);
  });

  test("the kubeconfig of another cluster, and a cluster id that two may have", async () => {
    const id = await on.volume("free");
    on.now();
    const other = CLUSTER_UID.replace(/^./, "0");
    const wrong = await on.run([], { clusterId: other });
    expect([wrong.code, wrong.out]).toEqual([1, ""]);
    expect(wrong.err).toContain(`has the UID ${CLUSTER_UID}`);
    const disk = on.stack.simulator.device.disk(id);
    const comment = String(disk?.comment).replace(CLUSTER_UID, "prod");
    await on.stack.simulator.device.setDisk(id, { comment });
    const { out } = await on.run(["-o", "json"], { clusterId: "prod" });
    expect(JSON.parse(out).items).toMatchObject([
      { name: id, deletable: "named", why: expect.stringContaining("another cluster may have it, too") },
    ]);
    const plan = await on.run(["--delete", "--all", "--yes"], { clusterId: "prod" });
    expect([plan.code, on.stack.simulator.device.disk(id) === undefined]).toEqual([0, false]);
  });

  test("for people: names whole at 80 columns, ages, reasons once, what to do", async () => {
    const [a, b] = [await on.volume("a"), await on.volume("b")];
    await leaveFile(on.stack, LEFT, "plain", { size: MIB });
    await on.stack.simulator.device.setDisk(a, { "nvme-tcp-export": true });
    on.now();
    const { out } = await on.run([], { columns: 80 });
    expect(out).toContain("KIND  DELETABLE  SIZE  AGE  POOL          NAME");
    expect(out).toContain(`disk  no         1Mi   10d  storage-pool  ${a}`);
    expect(out).toContain(`disk  yes        1Mi   10d  storage-pool  ${b}`);
    expect(out).toContain(`file  by name    1Mi   10d  storage-pool  ${LEFT}`);
    expect(out.replaceAll(/\s+/g, " ")).toContain(
      "Deletable: no, it is exported, and nothing proves that no node has it",
    );
    expect(out).toContain("3 orphans, at most 3Mi: 2 disks, 1 file.");
    for (const line of out.split("\n")) expect([...line].length).toBeLessThanOrEqual(80);
    expect((await on.run(["-o", "wide"])).out).toContain(placeOf(LEFT, "plain"));
    expect((await on.run(["--kind", "snapshot"])).out).toContain(
      "No orphan is of that kind and age; there are 3.",
    );
    expect(await verdicts(["--kind", "file"])).toEqual({ [LEFT]: "file named" });
    expect(await on.list(["--older-than", "11d"])).toEqual([]);
    expect(await on.list(["--older-than", "9d"])).toHaveLength(3);
  });

  test("wrong usage names the mistake", async () => {
    for (const [args, said] of [
      [["--yes"], "go with --delete"],
      [[LEFT], "go with --delete"],
      [["--delete"], "either names or --all"],
      [["--delete", "--all", LEFT], "either names or --all"],
      [["--kind", "disks"], "Did you mean disk?"],
    ] as const) {
      const { code, err } = await on.run(args);
      expect([code, err]).toEqual([2, expect.stringContaining(said)]);
    }
  });
});

test("a copy of its record in this cluster proves whose file it is; one of another cluster's record does not", async () => {
  const [mine, theirs] = [await on.volume("mine"), await on.volume("theirs")];
  const { device } = on.stack.simulator;
  const { shards, namespace = "default" } = await on.world.client();
  const store = shards(namespace, "rds-csi-records");
  const keeper = new RecordKeeper({ store, clock: new ManualClock(), logger: silentLogger });
  const found = await on.stack.rds.list(on.stack.signal);
  await keeper.keep(
    {
      ...found,
      volumes: found.volumes.map((volume) => {
        if (volume.id !== theirs) return volume;
        const comment = volume.disk.comment.replace(CLUSTER_UID, CLUSTER_UID.replace(/^./, "0"));
        return { ...volume, disk: { ...volume.disk, comment } };
      }),
    },
    on.stack.signal,
  );
  for (const id of [mine, theirs]) await device.removeDisk(id);
  on.now();
  expect(await verdicts()).toEqual({ [mine]: "subvolume yes", [theirs]: "subvolume named" });
  const { code, out } = await on.run(["--delete", "--all", "--yes"]);
  expect([code, out]).toEqual([0, expect.stringContaining(`subvolume ${mine}: deleted`)]);
  expect([mine, theirs].map((id) => device.file(placeOf(id, "subvolume")) !== undefined)).toEqual([
    false,
    true,
  ]);
});

describe("what is never proposed", () => {
  test("what a PersistentVolume or a VolumeSnapshotContent of any driver names", async () => {
    const id = await on.volume("free");
    const snapshot = await cut(id, "by-hand");
    await leaveFile(on.stack, LEFT, "plain", { size: MIB });
    on.now();
    expect(await on.list()).toHaveLength(3);
    const driver = "other.example.org";
    for (const handle of [id, LEFT]) on.world.api.apply(persistentVolume(`pv-${handle}`, handle, { driver }));
    for (const each of volumeSnapshot("monday", snapshot, { driver })) on.world.api.apply(each);
    expect(await on.list()).toEqual([]);
    // Whatever driver name the command was given.
    expect(JSON.parse((await on.run(["-o", "json"], { driver: "third.example.org" })).out).items).toEqual([]);
  });

  test("records and snapshots of another cluster; then no file without an owner either", async () => {
    const id = await on.volume("theirs");
    await cut(id, "theirs");
    const { device } = on.stack.simulator;
    await device.setDisk(id, {
      comment: String(device.disk(id)?.comment).replace(CLUSTER_UID, CLUSTER_UID.replace(/^./, "0")),
    });
    await leaveFile(on.stack, LEFT, "plain", { size: MIB });
    on.now();
    const other = await on.run(["-o", "json", "--delete", LEFT, "--yes"]);
    expect(other.code).toBe(1);
    expect(await whyOf(LEFT)).toContain(`another cluster uses this RDS, too (${id})`);
    expect(await verdicts()).toMatchObject({ [LEFT]: "file no" });
    expect((await on.list()).some(({ name }) => name === id)).toBe(false);
    expect(device.file(placeOf(LEFT, "plain"))).toBeDefined();
  });

  test("disks without a record of ours, and files that are not in the folder of the volumes", async () => {
    const { device } = on.stack.simulator;
    const slot = volumeIdFromName("hand");
    await device.addForeignDisk({ slot, path: `storage-pool/csi/${slot}.img`, size: MIB });
    await device.addForeignDisk({ slot: "data", path: "storage-pool/csi/data.img", size: MIB });
    for (const folder of ["storage-pool/backup", "storage-pool/csi/deeper"]) {
      await device.makeDirectories(folder);
      await device.addFile(`${folder}/${LEFT}.img`, MIB);
    }
    await device.addFile("storage-pool/csi/notes.img", MIB);
    on.now();
    expect(await on.list()).toEqual([]);
  });

  test("everything that is used, exported, young or in doubt says so", async () => {
    const { stack } = on;
    const { device } = stack.simulator;
    const [used, exported, source] = [
      await on.volume("used"),
      await on.volume("exp"),
      await on.volume("src"),
    ];
    await stack.attachments.publish({
      ...{ volumeId: used, nodeId: "node-a", capability: BLOCK, readonly: false, signal: stack.signal },
    });
    await device.setDisk(exported, { "nvme-tcp-export": true });
    await device
      .addForeignDisk({ slot: "twin", path: `storage-pool/csi/${source}/disk.img`, size: MIB })
      .catch(() => {});
    await leaveFile(stack, LEFT, "plain", { size: MIB });
    await device.addForeignDisk({ slot: "by-hand", path: "storage-pool/x.img", size: MIB });
    await device.setDisk("by-hand", { "file-path": placeOf(LEFT, "plain") }).catch(() => {});
    const adopted = "pvc-0a1b2c3d-0000-4000-8000-000000000001" as never;
    await leaveFile(stack, adopted, "plain", { size: MIB });
    const twice = volumeIdFromName("twice");
    await leaveFile(stack, twice, "plain", { size: MIB });
    await leaveFile(stack, twice, "subvolume", { size: MIB });
    const full = volumeIdFromName("full");
    await leaveFile(stack, full, "subvolume", { size: MIB });
    await device.addFile(`${placeOf(full, "subvolume")}/notes.txt`, 1n);
    on.now();
    const young = await on.volume("young");
    const cutNow = await cut(source, "young");
    await leaveFile(stack, volumeIdFromName("fresh"), "plain", { size: MIB });
    // Younger than a minute: it is no finding yet.
    expect(await whyOf(young)).toBeUndefined();
    expect(await whyOf(used)).toContain("attached to node-a");
    expect(await whyOf(exported)).toContain("it is exported");
    expect(await whyOf(cutNow)).toContain("it is young");
    expect(await whyOf(volumeIdFromName("fresh"))).toContain("it is young: less than 2 h old");
    expect(await whyOf(adopted)).toContain("of the earlier driver");
    expect(await whyOf(twice)).toContain("one of them may be a copy");
    expect(await whyOf(full)).toContain("something else is in it");
    const before = stored(stack.simulator);
    const names = (await on.list()).filter(({ deletable }) => deletable === "no").map(({ name }) => name);
    expect(names.length).toBeGreaterThanOrEqual(7);
    const { code, err } = await on.run(["--delete", ...new Set(names), "--yes"]);
    expect(code).toBe(1);
    expect(err).toContain("were not deleted");
    expect(stored(stack.simulator)).toEqual(before);
  });

  test("nothing of a pool that is away: files and snapshots are not seen, and a disk is kept", async () => {
    const id = await on.volume("free");
    await cut(id, "gone");
    await leaveFile(on.stack, LEFT, "plain", { size: MIB });
    on.now();
    await on.stack.simulator.device.setPool("storage-pool", { mounted: false });
    expect(await on.list()).toMatchObject([{ name: id, deletable: "no", pool: null }]);
    expect(await whyOf(id)).toContain("its pool is not mounted");
    expect((await on.run(["--delete", id, "--yes"])).code).toBe(1);
    await on.stack.simulator.device.setPool("storage-pool", { mounted: true });
    expect(on.stack.simulator.device.disk(id)).toBeDefined();
    expect(await on.list()).toHaveLength(3);
  });
});
