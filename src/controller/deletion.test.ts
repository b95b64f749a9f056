import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import {
  addSubvolume,
  FILE_LAYOUTS,
  fileOf,
  filesOf,
  leaveFile,
  placeOf,
  subvolumesOf,
} from "../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { GIB, MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { escapeRegex } from "../routeros/quote.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const NAME = "pvc-1";
const ID = volumeIdFromName(NAME);
const OTHER = volumeIdFromName("other");
const POOLS = ["storage-pool", "usb1", "usb2"].map((slot) => ({
  slot,
  fs: "btrfs" as const,
  size: 64n * GIB,
}));
const DELETES = /\/(?:disk|file|subvolume)\/remove/;

const open = useStack();
const start = (options: StackOptions = {}) => {
  const clock = fastClock(20);
  return open({ pools: POOLS, clock, simulatorClock: clock, ...options });
};

/** A controller of another process: it remembers nothing. */
const another = (on: Stack): Pick<Stack, "volumes" | "signal"> => ({ ...on.controller(), signal: on.signal });

/** Id of the error that DeleteVolume ends with, or OK. */
async function deleted(on: Pick<Stack, "volumes" | "signal">): Promise<string> {
  try {
    await on.volumes.delete(ID, on.signal);
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return error.id;
  }
}

/** What a person or a backup wrote. */
async function copyAt(on: Stack, path: string): Promise<void> {
  await on.simulator.device.makeDirectories(path.slice(0, path.lastIndexOf("/")));
  await on.simulator.device.addFile(path, MIB);
}

/** Every file and every subvolume. */
const all = (on: Stack): string[] => [...filesOf(on), ...subvolumesOf(on)];

for (const layout of FILE_LAYOUTS) {
  /** A volume's file below a pool. */
  const FILE = fileOf(ID, layout).slice("storage-pool/".length);
  const PATH = fileOf(ID, layout);

  const create = (on: Pick<Stack, "volumes" | "signal">, name = NAME, pool?: string) =>
    createVolume(on, {
      name,
      required: 4n * MIB,
      parameters: pool === undefined ? { layout } : { layout, pool },
    });

  /** Files and subvolumes of a volume. */
  const own = (pool: string, id: VolumeId = ID, directory = "csi"): string[] => {
    const folder = { pool, directory };
    return [fileOf(id, layout, folder), ...(layout === "plain" ? [] : [placeOf(id, layout, folder)])];
  };

  /** The item went, and the line ended before the file did. */
  const interruptedDelete = async (on: Stack, by: Pick<Stack, "volumes" | "signal"> = on): Promise<void> => {
    let statement = 1;
    while (on.simulator.device.disk(ID) !== undefined) {
      on.simulator.faults.add({ kind: "cutMidway", statement }, { line: DELETES });
      expect(await deleted(by)).not.toBe("OK");
      statement += 1;
    }
    expect(filesOf(on).filter((path) => path.endsWith(`/${FILE}`)).length).toBeGreaterThan(0);
  };

  for (const profile of PROFILES) {
    describe(`which file a delete destroys, layout ${layout}, profile ${profile}`, () => {
      test("exactly its own: copies at any other depth of any pool stay, however often it is repeated", async () => {
        const on = await start({ profile });
        await create(on);
        const copies = [`storage-pool/backup/${FILE}`, `usb1/nightly/${FILE}`, `usb2/a/b/${FILE}`];
        for (const copy of copies) await copyAt(on, copy);
        for (const by of [on, on, another(on)]) expect(await deleted(by)).toBe("OK");
        expect(all(on)).toEqual(copies);
      });

      test("a copy in the folder of the same name on another pool stays too, and a repeat that cannot tell says so", async () => {
        const on = await start({ profile });
        await create(on);
        await copyAt(on, `usb1/${FILE}`);
        expect(await deleted(on)).toBe("OK");
        expect(await deleted(on)).toBe("OK");
        expect(await deleted(another(on))).toBe("fileNotProven");
        expect(all(on)).toEqual([`usb1/${FILE}`]);
      });

      test("interrupted before the file went: finished by a controller that remembers nothing, beside copies", async () => {
        const on = await start({ profile });
        await create(on);
        const copies = [`usb1/${FILE}`, `usb1/nightly/${FILE}`];
        for (const copy of copies) await copyAt(on, copy);
        await interruptedDelete(on);
        expect(await deleted(another(on))).toBe("OK");
        expect(all(on)).toEqual(copies);
      });

      test("of a pool of the StorageClass: finished as well, where the pool has other volumes of ours", async () => {
        const on = await start({ profile });
        await create(on, NAME, "usb1");
        await create(on, "other", "usb1");
        await interruptedDelete(on);
        expect(await deleted(another(on))).toBe("OK");
        expect(all(on)).toEqual(own("usb1", OTHER));
      });

      test("of a pool of the StorageClass without other volumes: finished by the same controller, never taken for done by another", async () => {
        const on = await start({ profile });
        await create(on, NAME, "usb1");
        await interruptedDelete(on);
        expect(await deleted(another(on))).toBe("fileNotProven");
        expect(all(on)).toEqual(own("usb1"));
        expect(await deleted(on)).toBe("OK");
        expect(all(on)).toEqual([]);
        expect(await deleted(another(on))).toBe("OK");
      });

      test("files in the folders of two pools that have volumes of ours: one must be a copy, so neither goes", async () => {
        const on = await start({ profile });
        await create(on, "other", "usb1");
        for (const pool of ["storage-pool", "usb1"]) await leaveFile(on, ID, layout, { pool, size: MIB });
        const before = all(on);
        expect(await deleted(on)).toBe("fileNotProven");
        expect(all(on)).toEqual(before);
      });

      test("a folder of several parts: the file in all of it, not in its last part", async () => {
        const on = await start({ profile, directory: "tenants/blue/csi" });
        const its = own("storage-pool", ID, "tenants/blue/csi");
        await create(on);
        expect(all(on)).toEqual(its);
        const copies = [PATH, `usb1/blue/${FILE}`];
        for (const copy of copies) await copyAt(on, copy);
        await interruptedDelete(on);
        expect(all(on)).toEqual(expect.arrayContaining(its));
        expect(await deleted(another(on))).toBe("OK");
        expect(all(on)).toEqual(copies);
      });
    });

    describe(`a delete while a pool is not mounted, layout ${layout}, profile ${profile}`, () => {
      test("of a volume on it: refused with the record left, done once it is mounted", async () => {
        const on = await start({ profile });
        await create(on);
        await on.simulator.device.setPool("storage-pool", { mounted: false });
        for (const by of [on, another(on)]) expect(await deleted(by)).toBe("filePoolNotMounted");
        expect(on.simulator.device.disk(ID)).toBeDefined();
        await on.simulator.device.setPool("storage-pool", { mounted: true });
        expect(all(on)).toEqual(own("storage-pool"));
        expect(await deleted(on)).toBe("OK");
        expect(all(on)).toEqual([]);
      });

      test("of a volume on another pool: done", async () => {
        const on = await start({ profile });
        await create(on, NAME, "usb1");
        await on.simulator.device.setPool("storage-pool", { mounted: false });
        expect(await deleted(on)).toBe("OK");
        await on.simulator.device.setPool("storage-pool", { mounted: true });
        expect(all(on)).toEqual([]);
      });

      test("of a volume without disk item: refused while the default pool is away, by whoever is asked", async () => {
        const on = await start({ profile });
        await create(on);
        await interruptedDelete(on);
        await on.simulator.device.setPool("storage-pool", { mounted: false });
        for (const by of [on, another(on)]) expect(await deleted(by)).toBe("filePoolNotMounted");
        await on.simulator.device.setPool("storage-pool", { mounted: true });
        expect(await deleted(another(on))).toBe("OK");
        expect(all(on)).toEqual([]);
      });

      test("of a volume without disk item: refused while a pool with volumes of ours is away", async () => {
        const on = await start({ profile });
        await create(on, NAME, "usb1");
        await create(on, "other", "usb1");
        await interruptedDelete(on);
        await on.simulator.device.setPool("usb1", { mounted: false });
        for (const by of [on, another(on)]) expect(await deleted(by)).toBe("filePoolNotMounted");
        await on.simulator.device.setPool("usb1", { mounted: true });
        expect(await deleted(another(on))).toBe("OK");
        expect(all(on)).toEqual(own("usb1", OTHER));
      });

      test("a pool that is away and never had a volume of ours keeps nothing back", async () => {
        const on = await start({ profile });
        await create(on);
        await on.simulator.device.setPool("usb2", { mounted: false });
        for (const by of [on, on, another(on)]) expect(await deleted(by)).toBe("OK");
      });
    });
  }

  test(`the pool goes away between the look and the change: the item stays, layout ${layout}`, async () => {
    const on = await start();
    await create(on);
    const { found, mounted } = await on.rds.forRemoval(ID, on.signal);
    if (found?.kind !== "volume") throw new Error("not found");
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    const folder = { pool: "storage-pool", directory: "csi" };
    await expect(on.rds.remove(found.volume, folder, mounted, on.signal)).rejects.toMatchObject({
      id: "filePoolNotMounted",
      code: 14,
    });
    expect(on.simulator.device.disk(ID)).toBeDefined();
  });

  test(`a pool that is gone for good: its items removed by hand, what is left can be deleted, layout ${layout}`, async () => {
    const on = await start();
    await create(on, NAME, "usb1");
    await on.simulator.device.setPool("usb1", { mounted: false });
    expect(await deleted(on)).toBe("filePoolNotMounted");
    await on.simulator.device.removeDisk(ID);
    // As the remedy says: the controller is started again.
    expect(await deleted(another(on))).toBe("OK");
  });

  test(`no command that destroys selects by a pattern, layout ${layout}`, async () => {
    const on = await start();
    await leaveFile(on, ID, layout, { size: MIB });
    await create(on);
    await interruptedDelete(on);
    await deleted(another(on));
    const lines = on.commandsSince().filter((line) => DELETES.test(line));
    expect(lines.length).toBeGreaterThan(2);
    // A pattern only tells whether a disk uses a file in the subvolume; then the line ends.
    const guard = `:if ([:len [/disk/find where file-path~"^/\\?${escapeRegex(placeOf(ID, layout)).replaceAll("\\", "\\\\")}/"]] > 0) do={ :error "rds-csi:file-in-use" }`;
    for (const line of lines) {
      expect(line.includes(guard)).toBe(layout === "subvolume");
      expect(line.replace(guard, "")).not.toMatch(/(?:name|slot|path|comment)~/);
    }
  });

  test(`DeleteVolume costs two RouterOS commands, also repeated by another controller; three where that one finds a file, layout ${layout}`, async () => {
    const on = await start();
    const fresh = async () => {
      const by = on.controller();
      await by.rds.version(on.signal);
      on.commandsSince();
      return { ...by, signal: on.signal };
    };
    await create(on);
    let by = await fresh();
    await deleted(by);
    expect(on.commandsSince()).toHaveLength(2);
    await deleted(by);
    expect(on.commandsSince()).toHaveLength(2);
    by = await fresh();
    await deleted(by);
    expect(on.commandsSince()).toHaveLength(2);
    await leaveFile(on, ID, layout, { size: MIB });
    by = await fresh();
    expect(await deleted(by)).toBe("OK");
    expect(on.commandsSince()).toHaveLength(3);
    expect(all(on)).toEqual([]);
  });
}

test.each(PROFILES)(
  "files of both layouts without a disk item: one must be a copy, so neither goes, profile %s",
  async (profile) => {
    const on = await start({ profile });
    for (const form of FILE_LAYOUTS) await leaveFile(on, ID, form, { size: MIB });
    const before = all(on);
    expect(before).toHaveLength(3);
    for (const by of [on, another(on)]) expect(await deleted(by)).toBe("fileNotProven");
    expect(all(on)).toEqual(before);
  },
);

describe("the subvolume of a volume that is deleted", () => {
  const files = (on: Stack): string[] => filesOf(on).map((path) => path.slice("storage-pool/csi/".length));
  const create = (on: Stack) => createVolume(on, { required: 4n * MIB });

  test("with the file of another disk item in it stays, with all that is in it", async () => {
    const on = await start();
    await create(on);
    const path = `${placeOf(ID, "subvolume")}/notes`;
    await on.simulator.device.addForeignDisk({ slot: "notes", path, size: MIB });
    const before = all(on);
    for (const by of [on, another(on)]) expect(await deleted(by)).toBe("foreignDisk");
    expect(all(on)).toEqual(before);
    await on.simulator.device.removeDisk("notes");
    expect(await deleted(another(on))).toBe("OK");
    expect(all(on)).toEqual([]);
  });

  test("goes alone: not those whose names begin with its name, nor one of the same name in another folder or on another pool", async () => {
    const on = await start();
    await create(on);
    const kept = [`storage-pool/csi/${ID}.old`, `storage-pool/csi/${ID}0`, `storage-pool/x/csi/${ID}`];
    for (const path of [...kept, `usb2/${ID}`]) await addSubvolume(on, path);
    expect(await deleted(on)).toBe("OK");
    expect(subvolumesOf(on)).toEqual([...kept, `usb2/${ID}`].toSorted());
  });

  test("with a subvolume in it that a person made: not deleted, and said so until that is gone", async () => {
    const on = await start();
    await create(on);
    const inner = `${placeOf(ID, "subvolume")}/mine`;
    await addSubvolume(on, inner);
    for (const by of [on, another(on)]) expect(await deleted(by)).not.toBe("OK");
    expect([subvolumesOf(on), files(on)]).toEqual([[placeOf(ID, "subvolume"), inner], [`${ID}/disk.img`]]);
    const { subvolumeStore } = on.simulator.device;
    const item = subvolumeStore.items.find(({ fullname }) => fullname.endsWith("/mine"));
    if (item !== undefined) await subvolumeStore.remove(item);
    expect(await deleted(another(on))).toBe("OK");
    expect(all(on)).toEqual([]);
  });
});
