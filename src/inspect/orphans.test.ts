import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { Attachment } from "../domain/record/volume-record.ts";
import { parseSnapshotHandle, snapshotHandle } from "../domain/snapshot-id.ts";
import { conversionSlots } from "../rds/conversion-slots.ts";
import { handleOf } from "../rds/snapshot-names.ts";
import { orphansOf } from "./find-orphans.ts";
import type { Orphan } from "./orphan.ts";
import {
  disk,
  file,
  id,
  NOW,
  OURS,
  orphanWorld,
  type Parts,
  POOL,
  snapshot,
  subvolume,
  THEIRS,
} from "./orphans.fixture.ts";

const one = (parts: Parts): Orphan | undefined => orphansOf(orphanWorld(parts))[0];
const verdictOf = (parts: Parts): string => {
  const found = one(parts);
  return found === undefined ? "none" : `${found.deletable}: ${found.why}`;
};
const SECONDS = NOW / 1_000;
const ATTACHMENT: Attachment = {
  ...{ node: "n1", hostNqn: "nqn.h", readonly: false, since: 1 },
  ...{ accessMode: "SINGLE_NODE_WRITER", accessType: "block" },
};
const pv = (handle: string, driver = "rds.csi.srvlab.io") => ({ name: `pv-${handle}`, handle, driver });
const content = (handle: string, volume?: string) => ({ name: `c-${handle}`, handles: [handle], volume });
const left = (pvName: string, nqn = "") => ({
  ...{ name: "va", node: "n1", pvName, attached: true, deleting: false, metadata: { nqn } },
  ...{ attachError: undefined, detachError: undefined },
});
const COPY = { total: 4n, done: 0n, sourceCreatedAt: 1, sourceEpoch: 0, line: "01234567", isBusy: false };

describe("a disk", () => {
  test.each<[string, Parts, string]>([
    ["nothing speaks against it", { disks: [disk("a")] }, "yes: its record names this cluster"],
    ["a PersistentVolume of another driver", { disks: [disk("a")], volumes: [pv(id("a"), "x")] }, "none"],
    ["another cluster's", { disks: [disk("a", { cluster: THEIRS })] }, "none"],
    ["of the time before cluster ids", { disks: [disk("a", { cluster: "default" })] }, "none"],
    ["no record", { disks: [disk("a", {}, { comment: "by hand" })] }, "none"],
    ["a record of another volume", { disks: [disk("a", { name: "b" })] }, "none"],
    ["a newer record", { disks: [disk("a", {}, { comment: "rds9;n=a" })] }, "none"],
    ["a file of another name", { disks: [disk("a", {}, { filePath: "pool/csi/x.img" })] }, "none"],
    ["a copy fills it", { disks: [disk("a", { copy: COPY })] }, "none"],
    ["attached", { disks: [disk("a", { attachments: [ATTACHMENT] })] }, "no: It is attached to n1"],
    [
      "a VolumeAttachment is left",
      { disks: [disk("a")], attachments: [left("a")] },
      "no: It is attached to n1",
    ],
    [
      "a VolumeAttachment is left, told by its NQN",
      { disks: [disk("a")], attachments: [left("x", `nqn:${id("a")}.3`)] },
      "no: It is attached to n1",
    ],
    ["exported", { disks: [disk("a", {}, { exported: true })] }, "no: it is exported"],
    ["mounted by the RDS", { disks: [disk("a", {}, { mounted: true })] }, "no: the RDS has mounted"],
    ["it moves", { disks: [disk("a", { conversion: "copy" })] }, "no: it moves into a subvolume"],
    [
      "a copy is made of it",
      { disks: [disk("a"), disk("b", { source: id("a"), copy: COPY })] },
      "no: volume csi-",
    ],
    [
      "two items on one file",
      { disks: [disk("a"), disk("b", {}, { slot: "twin", filePath: `pool/csi/${id("a")}.img` })] },
      "no: disk item twin has the same file",
    ],
    ["its pool is away", { disks: [{ ...POOL, mounted: false }, disk("a")] }, "no: its pool is not mounted"],
    ["young", { disks: [disk("a", { createdAt: SECONDS - 3_599 })] }, "no: it is young"],
    ["just old enough", { disks: [disk("a", { createdAt: SECONDS - 3_600 })] }, "yes: "],
    ["a minute old", { disks: [disk("a", { createdAt: SECONDS - 59 })] }, "none"],
    [
      "of the future",
      { disks: [disk("a", { createdAt: SECONDS + 86_400 })] },
      "no: its time is in the future",
    ],
    ["without a time", { disks: [disk("a", { createdAt: 0 })] }, "no: its age is not known"],
    [
      "a chosen cluster id",
      { disks: [disk("a", { cluster: "prod" })], installation: { clusterId: "prod" } as never },
      "named: the cluster id prod was chosen",
    ],
  ])("%s", (_, parts, wanted) => {
    expect(verdictOf(parts)).toStartWith(wanted);
  });
});

describe("a file or subvolume", () => {
  const path = `pool/csi/${id("a")}.img`;
  const files = [file(path)];
  const folder = { files: [file(`pool/csi/${id("a")}/disk.img`)], subvolumes: [subvolume(`csi/${id("a")}`)] };
  const other = { ...POOL, slot: "other", mountPoint: "other", fsLabel: "other" };
  const details = (idleSeconds: number | undefined, entries: number | undefined = 0) =>
    new Map([[path, { idleSeconds, entries }]]);
  test("says what is there, how large and how old it is", () => {
    const [plain] = orphansOf(orphanWorld({ files }));
    expect(plain).toMatchObject({ kind: "file", name: id("a"), pool: "pool", path, sizeBytes: 1n << 30n });
    expect(plain?.since).toBe(SECONDS - 86_400);
    const [own] = orphansOf(orphanWorld(folder));
    expect(own).toMatchObject({ kind: "subvolume", name: id("a"), path: `pool/csi/${id("a")}` });
  });

  test.each<[string, Parts, string]>([
    ["only its place is known", { files }, "named: no record says which cluster"],
    ["in a subvolume", folder, "named: no record"],
    ["a copy that a person made beside it", { files: [file(`${path}.bak`)] }, "none"],
    ["an empty subvolume", { subvolumes: folder.subvolumes }, "named: no record"],
    ["a copy of its record is kept", { files, kept: new Set([id("a")]) }, "yes: this cluster has a copy"],
    [
      "a copy of its record is kept, and the cluster id was chosen: the copy may be of another cluster's volume",
      { files, kept: new Set([id("a")]), installation: { clusterId: "prod" } as never },
      "named: the cluster id prod was chosen",
    ],
    [
      "its image was written just now, and its folder long ago",
      {
        ...folder,
        details: new Map([
          [`pool/csi/${id("a")}`, { idleSeconds: 1e6, entries: 1 }],
          [`pool/csi/${id("a")}/disk.img`, { idleSeconds: 7_199, entries: 0 }],
        ]),
      },
      "no: it is young",
    ],
    ["a content names it", { files, snapshots: [content("s", id("a"))] }, "yes: VolumeSnapshotContent c-s"],
    [
      "a volume was made from it",
      { files, disks: [disk("b", { source: id("a") })], volumes: [pv(id("b"))] },
      "yes: volume csi-",
    ],
    [
      "another cluster is there",
      { files, disks: [disk("b", { cluster: THEIRS })] },
      "no: another cluster uses this RDS",
    ],
    [
      "another cluster has a snapshot",
      { files, cuts: [snapshot("s", id("b"), THEIRS)] },
      "no: another cluster uses",
    ],
    [
      "another cluster is there, and it is ours",
      { files, kept: new Set([id("a")]), disks: [disk("b", { cluster: THEIRS })] },
      "yes: ",
    ],
    ["a PersistentVolume names it", { files, volumes: [pv(id("a"), "x")] }, "none"],
    ["its disk item is there", { files, disks: [disk("a")], volumes: [pv(id("a"))] }, "none"],
    ["a foreign item has its slot", { files, disks: [disk("a", {}, { comment: "", type: "nvme" })] }, "none"],
    [
      "an item is on it",
      { files, disks: [disk("b", {}, { slot: "x", filePath: path })] },
      "no: disk item x uses it",
    ],
    [
      "it moves into a subvolume",
      { files, disks: [disk("a", {}, { slot: conversionSlots(id("a")).kept, filePath: path })] },
      "none",
    ],
    [
      "an item is in its folder",
      { ...folder, disks: [disk("b", {}, { slot: "x", filePath: `pool/csi/${id("a")}/notes` })] },
      "no: disk item x uses it",
    ],
    ["elsewhere on the pool", { files: [file(`pool/backup/${id("a")}.img`)] }, "none"],
    ["deeper", { files: [file(`pool/csi/x/${id("a")}.img`)] }, "none"],
    ["on a pool that is not ours", { disks: [other], files: [file(`other/csi/${id("a")}.img`)] }, "none"],
    [
      "a copy of it elsewhere",
      { disks: [other], files: [...files, file(`other/csi/${id("a")}.img`)] },
      `no: other/csi/${id("a")}.img is there as well`,
    ],
    [
      "no subvolume",
      { files: folder.files, details: new Map([[`pool/csi/${id("a")}`, { idleSeconds: 1e6, entries: 1 }]]) },
      "no: its folder is no subvolume",
    ],
    [
      "a pool of ours is away",
      { files, disks: [disk("b", {}, { filePath: `away/csi/${id("b")}.img` })], volumes: [pv(id("b"))] },
      "no: pool away is not mounted",
    ],
    [
      "of the Go driver",
      { files: [file("pool/csi/pvc-0a1b2c3d-0000-4000-8000-000000000001.img")] },
      "no: it is of the earlier driver",
    ],
    ["a VolumeAttachment is left", { files, attachments: [left("a")] }, "no: VolumeAttachment va"],
    ["written just now", { files, details: details(7_199) }, "no: it is young"],
    ["no time", { files, details: details(undefined) }, "no: its age is not known"],
    ["nothing is said of it", { files, details: new Map() }, "no: the RDS does not say"],
    [
      "something is in it",
      { ...folder, details: new Map([[`pool/csi/${id("a")}`, { idleSeconds: 1e6, entries: 2 }]]) },
      "no: something else is in it",
    ],
  ])("%s", (_, parts, wanted) => {
    expect(verdictOf(parts)).toStartWith(wanted);
  });
});

describe("a snapshot", () => {
  const cut = snapshot("s", id("v"));
  const known = { disks: [disk("v")], volumes: [pv(id("v"))] };
  const changed = { ...cut, subvolume: { ...cut.subvolume, readOnly: false } };
  const copying = disk("c", { source: handleOf(cut), copy: COPY });
  test.each<[string, Parts, string]>([
    ["nothing names it", { ...known, cuts: [cut] }, "yes: its name has the id of this cluster"],
    ["its handle is named", { ...known, cuts: [cut], snapshots: [content(handleOf(cut))] }, "none"],
    ["its id is named", { ...known, cuts: [cut], snapshots: [content(cut.record.id)] }, "none"],
    ["another cluster's", { ...known, cuts: [snapshot("s", id("v"), THEIRS)] }, "none"],
    [
      "no VolumeSnapshots are served",
      { ...known, cuts: [cut], snapshots: undefined },
      "no: the cluster serves no VolumeSnapshots",
    ],
    ["writable", { ...known, cuts: [changed] }, "no: its subvolume is not read-only"],
    ["twice", { ...known, cuts: [cut, cut] }, "no: two subvolumes have its handle"],
    [
      "in another folder",
      {
        ...known,
        cuts: [{ ...cut, subvolume: { ...cut.subvolume, name: cut.subvolume.name.replace("csi/", "old/") } }],
      },
      "no: it is not in the folder",
    ],
    [
      "its pool is away",
      { ...known, cuts: [snapshot("s", id("v"), OURS, "away")] },
      "no: no single mounted pool",
    ],
    [
      "two pools have its label",
      {
        disks: [...known.disks, { ...POOL, slot: "p2", mountPoint: "p2" }],
        volumes: known.volumes,
        cuts: [cut],
      },
      "no: no single mounted pool",
    ],
    [
      "a volume is made from it",
      { disks: [...known.disks, copying], volumes: known.volumes, cuts: [cut] },
      "no: volume csi-",
    ],
  ])("%s", (_, parts, wanted) => {
    expect(verdictOf(parts)).toStartWith(wanted);
  });
});

describe("any world", () => {
  const NAMES = ["a", "b", "c", "d"] as const;
  const drawn = fc.record({
    records: fc.uniqueArray(
      fc.record({
        name: fc.constantFrom(...NAMES),
        cluster: fc.constantFrom(OURS, OURS, THEIRS, "default"),
        age: fc.constantFrom(0, 30, 1_000, 100_000),
        attached: fc.boolean(),
        exported: fc.boolean(),
        item: fc.constantFrom({}, {}, { comment: "" }, { type: "nvme" }, { filePath: "pool/x.img" }),
      }),
      { selector: ({ name }) => name },
    ),
    files: fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom("csi", "other", "csi/deep"))),
    folders: fc.uniqueArray(fc.constantFrom(...NAMES)),
    cuts: fc.uniqueArray(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom(OURS, THEIRS)), {
      selector: ([name]) => name,
    }),
    pvs: fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.constantFrom("rds.csi.srvlab.io", "other"))),
    contents: fc.option(fc.array(fc.tuple(fc.constantFrom(...NAMES), fc.boolean())), { nil: undefined }),
    kept: fc.uniqueArray(fc.constantFrom(...NAMES)),
    idle: fc.constantFrom(undefined, 10, 1e6),
  });

  test("never proposes what a PersistentVolume or content names, another cluster's, foreign, used or young things", () => {
    let proposed = 0;
    const check = (given: typeof drawn extends fc.Arbitrary<infer T> ? T : never) => {
      const { records, files, folders, cuts, pvs, contents, kept, idle } = given;
      const world = orphanWorld({
        disks: records.map(({ name, cluster, age, attached, exported, item }) =>
          disk(
            name,
            { cluster, createdAt: SECONDS - age, attachments: attached ? [ATTACHMENT] : [] },
            { exported, ...item },
          ),
        ),
        files: files.map(([name, folder]) => file(`pool/${folder}/${id(name)}.img`)),
        subvolumes: folders.map((name) => subvolume(`csi/${id(name)}`)),
        cuts: cuts.map(([name, cluster]) => snapshot(name, id(name), cluster)),
        volumes: pvs.map(([name, driver]) => pv(id(name), driver)),
        snapshots: contents?.map(([name, isWhole]) => {
          const { record } = snapshot(name, id(name));
          return content(isWhole ? snapshotHandle(record.id, "label") : record.id);
        }),
        kept: new Set(kept.map(id)),
      });
      const told = new Map([...world.details].map(([path, each]) => [path, { ...each, idleSeconds: idle }]));
      const named = new Set(pvs.map(([name]) => id(name) as string));
      const namedCuts = new Set(
        (contents ?? []).map(([name]) => snapshot(name, id(name)).record.id as string),
      );
      for (const orphan of orphansOf({ ...world, details: told })) {
        const { kind, name, path, deletable } = orphan;
        proposed += deletable === "no" ? 0 : 1;
        expect(named.has(name)).toBe(false);
        expect(path).toStartWith("pool/csi/");
        expect(path).not.toContain("/deep/");
        const record = records.find((each) => id(each.name) === name);
        if (kind === "disk") {
          expect(record?.cluster).toBe(OURS);
          expect(record?.item).toEqual({});
          if (deletable !== "no")
            expect([record?.attached, record?.exported, record?.age]).toEqual([false, false, 100_000]);
        } else if (kind === "snapshot") {
          expect(parseSnapshotHandle(name)).toBeDefined();
          expect(namedCuts.has(name.replace(/\..*/, ""))).toBe(false);
          const cut = cuts.find(([each]) => name.startsWith(snapshot(each, id(each)).record.id));
          expect(cut?.[1]).toBe(OURS);
          if (deletable !== "no") expect(contents).toBeDefined();
        } else {
          expect(record).toBeUndefined();
          if (deletable !== "no") expect(idle).toBe(1e6);
          if (deletable === "named") expect(cuts.some(([, cluster]) => cluster === THEIRS)).toBe(false);
          const isCut = cuts.some(([each, cluster]) => id(each) === name && cluster === OURS);
          if (deletable === "yes") expect(isCut || kept.some((each) => id(each) === name)).toBe(true);
        }
      }
    };
    fc.assert(fc.property(drawn, check), { numRuns: 500 });
    // Else nothing was tested.
    expect(proposed).toBeGreaterThan(100);
  });
});
