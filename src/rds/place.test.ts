import { describe, expect, test } from "bun:test";
import { FILE_DISK, NEW_RECORD } from "../../test/support/records.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { Disk } from "./disk.ts";
import { pathsOnPools, placeOf, placesFor, requirePlace } from "./place.ts";

const ID = volumeIdFromName("gone");
const OTHER = volumeIdFromName("other");
const LAYOUT = { pool: "raid10", directory: "csi" };
const RECORD: VolumeRecord = { ...NEW_RECORD, name: "other" };
const BASE: Disk = {
  ...FILE_DISK,
  ...{ type: "raid", size: 1n, free: 1n, mounted: true, fs: "xfs", mountFilesystem: true },
};
const pool = (slot: string, mountPoint = slot, over: Partial<Disk> = {}): Disk => ({
  ...BASE,
  slot,
  mountPoint,
  ...over,
});
const volume = (filePath: string, over: Partial<Disk> = {}, cluster = "test") => {
  const record = { ...RECORD, cluster };
  const disk: Disk = {
    ...BASE,
    slot: OTHER,
    type: "file",
    comment: encodeRecord(record),
    filePath,
    mounted: false,
    ...over,
  };
  return { id: OTHER, record, disk };
};
const search = (listed: readonly Disk[], layout = LAYOUT) => {
  const { ours, others, away } = placesFor(listed, ID, layout, "test");
  return { ours: ours.map(({ path }) => path), others: others.map(({ path }) => path), away };
};
const file = (folder: string, id: VolumeId = ID) => `${folder}/${id}.img`;

describe("the place of a volume that has its item", () => {
  const at = (path: string, mounted: readonly Disk[], over: Partial<Disk> = {}, directory = "csi") =>
    placeOf(mounted, volume(path, over), directory)?.pool;

  test("is on the pool that its path names, if that is mounted", () => {
    expect(at(file("raid10/csi", OTHER), [pool("raid10")])).toBe("raid10");
    expect(at(file("disks/a/csi", OTHER), [pool("a", "disks/a")])).toBe("a");
    expect(at(file("raid10/a/b", OTHER), [pool("raid10")], {}, "a/b")).toBe("raid10");
    expect(at(file("raid10/csi", OTHER), [pool("usb1")])).toBeUndefined();
    expect(at(file("raid10/csi", OTHER), [])).toBeUndefined();
  });

  test("is unknown while a pool that is mounted below another one is away, or hides the folder", () => {
    expect(at(file("raid10/usb/csi", OTHER), [pool("raid10")], { size: undefined })).toBeUndefined();
    expect(at(file("raid10/usb/csi", OTHER), [pool("raid10"), pool("usb", "raid10/usb")])).toBe("usb");
    const hidden = [pool("raid10"), pool("usb", "raid10/csi")];
    expect(at(file("raid10/csi", OTHER), hidden, { size: undefined })).toBeUndefined();
  });

  test("in the folder of an earlier --directory counts only with a device, which proves the file", () => {
    expect(at(file("raid10/old", OTHER), [pool("raid10")])).toBe("raid10");
    expect(at(file("raid10/old", OTHER), [pool("raid10")], { size: undefined })).toBeUndefined();
  });

  test("is not on an item that a volume's own file is mounted from", () => {
    const image = pool("csi-image", "raid10/image", { type: "file" });
    expect(at(file("raid10/image/csi", OTHER), [pool("raid10"), image])).toBeUndefined();
  });
});

describe("the places of a volume without item", () => {
  test("are the default pool and those with volumes of this cluster; the same path elsewhere is nobody's", () => {
    const listed = [pool("raid10"), pool("usb1"), pool("usb2")];
    expect(search(listed)).toEqual({
      ours: [file("raid10/csi")],
      others: [file("usb1/csi"), file("usb2/csi")],
      away: [],
    });
    const ours = volume(file("usb1/csi", OTHER)).disk;
    expect(search([...listed, ours]).ours).toEqual([file("raid10/csi"), file("usb1/csi")]);
    const foreign = volume(file("usb1/csi", OTHER), {}, "another").disk;
    expect(search([...listed, foreign]).ours).toEqual([file("raid10/csi")]);
    expect(search([...listed, { ...ours, comment: "hello" }]).ours).toEqual([file("raid10/csi")]);
  });

  test("cannot be looked into while the default pool is missing, not mounted, or a file", () => {
    for (const listed of [
      [],
      [pool("raid10", "", { mounted: false })],
      [pool("raid10", "raid10", { type: "file" })],
      [pool("raid10", "raid 10")],
    ])
      expect(search(listed).away).toEqual(["raid10"]);
  });

  test("cannot be looked into while the pool of another volume of ours is away", () => {
    const lost = volume(file("usb1/csi", OTHER), { size: undefined }).disk;
    expect(search([pool("raid10"), lost]).away).toEqual(["usb1"]);
    // One below a mounted pool, too: its folder there is an empty mount point.
    const below = volume(file("raid10/usb/csi", OTHER), { size: undefined }).disk;
    expect(search([pool("raid10"), below]).away).toEqual(["raid10/usb"]);
    // A volume whose file alone is missing keeps nothing back.
    expect(
      search([pool("raid10"), volume(file("raid10/csi", OTHER), { size: undefined }).disk]).away,
    ).toEqual([]);
  });

  test("a folder that a pool below it hides is not looked into", () => {
    const listed = [pool("raid10"), pool("usb", "raid10/csi")];
    expect(search(listed)).toEqual({ ours: [], others: [file("raid10/csi/csi")], away: ["raid10"] });
    // Nor one that is visible for the plain layout only.
    const btrfs = pool("raid10", "raid10", { fs: "btrfs", fsLabel: "raid10-fs" });
    expect(search([btrfs, pool("usb", `raid10/csi/${ID}`)])).toEqual({
      ours: [],
      others: [file(`raid10/csi/${ID}/csi`)],
      away: ["raid10"],
    });
  });

  test("are asked for by exact path, whatever the folder has in its name", () => {
    const listed = [pool("raid10"), pool("usb", "disks/usb"), pool("no", "", { mounted: false })];
    expect(pathsOnPools(listed, ID, "a.b/c")).toEqual([file("raid10/a.b/c"), file("disks/usb/a.b/c")]);
  });
});

test("a volume is in a subvolume only where its pool has them and its file is named after it", () => {
  const btrfs = pool("raid10", "raid10", { fs: "btrfs", fsLabel: "raid10-fs" });
  const own = `raid10/csi/${OTHER}/disk.img`;
  const directory = `raid10/csi/${OTHER}`;
  expect(placeOf([btrfs], volume(own), "csi")).toEqual({
    pool: "raid10",
    path: directory,
    subvolume: { label: "raid10-fs", name: `csi/${OTHER}` },
  });
  expect(placeOf([pool("raid10")], volume(own), "csi")).toEqual({ pool: "raid10", path: own });
  const strange = "raid10/images/disk.img";
  expect(placeOf([btrfs], volume(strange), "csi")).toEqual({ pool: "raid10", path: strange });
});

test("a call that needs the place of a volume has it, or an error that names the pool which is away", () => {
  const lost = volume(file("usb1/csi", OTHER));
  expect(requirePlace([pool("usb1")], lost, "csi")).toEqual({ pool: "usb1", path: file("usb1/csi", OTHER) });
  const away = (path: string) => {
    try {
      return requirePlace([pool("raid10")], volume(path), "csi").pool;
    } catch (error) {
      return String(error);
    }
  };
  expect(away(file("disks/usb1/csi", OTHER))).toContain("disks/usb1");
  expect(away(file("usb1/old", OTHER))).toMatch(/\busb1\b(?!\/)/);
});

test("a pool of nobody whose folder another one hides keeps nothing back", () => {
  const listed = [pool("raid10"), pool("usb1"), pool("usb2", "usb1/csi")];
  expect(search(listed)).toEqual({
    ours: [file("raid10/csi")],
    others: [file("usb1/csi/csi")],
    away: [],
  });
});

test("only a mounted item counts as a pool, and a file that is mounted is none", () => {
  const image = pool("csi-image", "image", { type: "file" });
  const away = pool("usb1", "usb1", { mounted: false });
  expect(pathsOnPools([pool("raid10"), image, away], ID, "csi")).toEqual([file("raid10/csi")]);
  expect(search([pool("raid10"), image, away])).toEqual({ ours: [file("raid10/csi")], others: [], away: [] });
  // The mount point of one that is away may be a folder of the pool.
  const below = pool("usb1", "raid10/csi", { mounted: false });
  expect(search([pool("raid10"), below]).ours).toEqual([file("raid10/csi")]);
  expect(placeOf([pool("raid10"), below], volume(file("raid10/csi", OTHER)), "csi")?.pool).toBe("raid10");
});

describe("the subvolume of a volume on a Btrfs pool", () => {
  const btrfs = (slot: string, over: Partial<Disk> = {}) =>
    pool(slot, slot, { fs: "btrfs", fsLabel: `${slot}-label`, ...over });
  const disk = (folder: string, id: VolumeId = ID) => `${folder}/${id}/disk.img`;
  const its = (slot: string, id: VolumeId = ID) => ({
    pool: slot,
    path: `${slot}/csi/${id}`,
    subvolume: { label: `${slot}-label`, name: `csi/${id}` },
  });

  test("is its place, named by the label of its pool; that of a plain file is the file", () => {
    expect(placeOf([btrfs("raid10")], volume(disk("raid10/csi", OTHER)), "csi")).toEqual(
      its("raid10", OTHER),
    );
    expect(placeOf([btrfs("raid10")], volume(file("raid10/csi", OTHER)), "csi")).toEqual({
      pool: "raid10",
      path: file("raid10/csi", OTHER),
    });
    const deep = placeOf(
      [pool("a", "disks/a", { fs: "btrfs", fsLabel: "l" })],
      volume(disk("disks/a/x/csi", OTHER)),
      "x/csi",
    );
    expect(deep?.subvolume).toEqual({ label: "l", name: `x/csi/${OTHER}` });
  });

  test("and its plain file are both looked for where no item says which; one name of a subvolume stands for all in it", () => {
    const listed = [btrfs("raid10"), pool("usb1"), btrfs("usb2", { fsLabel: "two words" })];
    expect(pathsOnPools(listed, ID, "csi")).toEqual([
      file("raid10/csi"),
      `raid10/csi/${ID}`,
      file("usb1/csi"),
      file("usb2/csi"),
    ]);
    expect(placesFor(listed, ID, LAYOUT, "test").ours).toEqual([
      { pool: "raid10", path: file("raid10/csi") },
      its("raid10"),
    ]);
  });

  test("makes its pool one that this installation uses", () => {
    const used = volume(disk("usb1/csi", OTHER)).disk;
    const found = placesFor([btrfs("raid10"), btrfs("usb1"), used], ID, LAYOUT, "test");
    expect(found.ours.map(({ path }) => path)).toContain(`usb1/csi/${ID}`);
    const away = volume(disk("usb1/csi", OTHER), { size: undefined }).disk;
    expect(search([btrfs("raid10"), away]).away).toEqual(["usb1"]);
  });
});
