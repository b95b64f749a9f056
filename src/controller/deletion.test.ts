import { describe, expect, test } from "bun:test";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { GIB, MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;
const NAME = "pvc-1";
const ID = volumeIdFromName(NAME);
const FILE = `csi/${ID}.img`;
const PATH = `storage-pool/${FILE}`;
const POOLS = ["storage-pool", "usb1", "usb2"].map((slot) => ({
  slot,
  fs: "btrfs" as const,
  size: 64n * GIB,
}));
const DELETES = /\/(?:disk|file)\/remove/;

const open = useStack();
const start = (options: StackOptions = {}) => open({ pools: POOLS, ...options });

const create = (on: Pick<Stack, "volumes" | "signal">, name = NAME, pool?: string) =>
  createVolume(on, { name, required: 4n * MIB, parameters: pool === undefined ? {} : { pool } });

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
const filesOf = (on: Stack): string[] =>
  on.simulator.device.files.filter(({ directory }) => !directory).map(({ path }) => path);

/** The item went, and the line ended before the file did. */
async function interruptedDelete(on: Stack, by: Pick<Stack, "volumes" | "signal"> = on): Promise<void> {
  let statement = 1;
  while (on.simulator.device.disk(ID) !== undefined) {
    on.simulator.faults.add({ kind: "cutMidway", statement }, { line: DELETES });
    expect(await deleted(by)).not.toBe("OK");
    statement += 1;
  }
  expect(filesOf(on).filter((path) => path.endsWith(`/${FILE}`)).length).toBeGreaterThan(0);
}

for (const profile of PROFILES) {
  describe(`which file a delete destroys, profile ${profile}`, () => {
    test("exactly its own: copies at any other depth of any pool stay, however often it is repeated", async () => {
      const on = await start({ profile });
      await create(on);
      const copies = [`storage-pool/backup/${FILE}`, `usb1/nightly/${FILE}`, `usb2/a/b/${FILE}`];
      for (const copy of copies) await copyAt(on, copy);
      for (const by of [on, on, another(on)]) expect(await deleted(by)).toBe("OK");
      expect(filesOf(on)).toEqual(copies);
    });

    test("a copy in the folder of the same name on another pool stays too, and a repeat that cannot tell says so", async () => {
      const on = await start({ profile });
      await create(on);
      await copyAt(on, `usb1/${FILE}`);
      expect(await deleted(on)).toBe("OK");
      expect(await deleted(on)).toBe("OK");
      expect(await deleted(another(on))).toBe("fileNotProven");
      expect(filesOf(on)).toEqual([`usb1/${FILE}`]);
    });

    test("interrupted before the file went: finished by a controller that remembers nothing, beside copies", async () => {
      const on = await start({ profile });
      await create(on);
      const copies = [`usb1/${FILE}`, `usb1/nightly/${FILE}`];
      for (const copy of copies) await copyAt(on, copy);
      await interruptedDelete(on);
      expect(await deleted(another(on))).toBe("OK");
      expect(filesOf(on)).toEqual(copies);
    });

    test("of a pool of the StorageClass: finished as well, where the pool has other volumes of ours", async () => {
      const on = await start({ profile });
      await create(on, NAME, "usb1");
      await create(on, "other", "usb1");
      await interruptedDelete(on);
      expect(await deleted(another(on))).toBe("OK");
      expect(filesOf(on)).toEqual([`usb1/csi/${volumeIdFromName("other")}.img`]);
    });

    test("of a pool of the StorageClass without other volumes: finished by the same controller, never taken for done by another", async () => {
      const on = await start({ profile });
      await create(on, NAME, "usb1");
      await interruptedDelete(on);
      expect(await deleted(another(on))).toBe("fileNotProven");
      expect(filesOf(on)).toEqual([`usb1/${FILE}`]);
      expect(await deleted(on)).toBe("OK");
      expect(filesOf(on)).toEqual([]);
      expect(await deleted(another(on))).toBe("OK");
    });

    test("files in the folders of two pools that have volumes of ours: one must be a copy, so neither goes", async () => {
      const on = await start({ profile });
      await create(on, "other", "usb1");
      for (const pool of ["storage-pool", "usb1"]) await copyAt(on, `${pool}/${FILE}`);
      const before = filesOf(on);
      expect(await deleted(on)).toBe("fileNotProven");
      expect(filesOf(on)).toEqual(before);
    });

    test("a folder of several parts: the file in all of it, not in its last part", async () => {
      const on = await start({ profile, directory: "tenants/blue/csi" });
      const own = `storage-pool/tenants/blue/${FILE}`;
      await create(on);
      expect(filesOf(on)).toEqual([own]);
      const copies = [PATH, `usb1/blue/${FILE}`];
      for (const copy of copies) await copyAt(on, copy);
      await interruptedDelete(on);
      expect(filesOf(on)).toContain(own);
      expect(await deleted(another(on))).toBe("OK");
      expect(filesOf(on)).toEqual(copies);
    });
  });

  describe(`a delete while a pool is not mounted, profile ${profile}`, () => {
    test("of a volume on it: refused with the record left, done once it is mounted", async () => {
      const on = await start({ profile });
      await create(on);
      await on.simulator.device.setPool("storage-pool", { mounted: false });
      for (const by of [on, another(on)]) expect(await deleted(by)).toBe("filePoolNotMounted");
      expect(on.simulator.device.disk(ID)).toBeDefined();
      await on.simulator.device.setPool("storage-pool", { mounted: true });
      expect(filesOf(on)).toEqual([PATH]);
      expect(await deleted(on)).toBe("OK");
      expect(filesOf(on)).toEqual([]);
    });

    test("of a volume on another pool: done", async () => {
      const on = await start({ profile });
      await create(on, NAME, "usb1");
      await on.simulator.device.setPool("storage-pool", { mounted: false });
      expect(await deleted(on)).toBe("OK");
      await on.simulator.device.setPool("storage-pool", { mounted: true });
      expect(filesOf(on)).toEqual([]);
    });

    test("of a volume without disk item: refused while the default pool is away, by whoever is asked", async () => {
      const on = await start({ profile });
      await create(on);
      await interruptedDelete(on);
      await on.simulator.device.setPool("storage-pool", { mounted: false });
      for (const by of [on, another(on)]) expect(await deleted(by)).toBe("filePoolNotMounted");
      await on.simulator.device.setPool("storage-pool", { mounted: true });
      expect(await deleted(another(on))).toBe("OK");
      expect(filesOf(on)).toEqual([]);
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
      expect(filesOf(on)).toEqual([`usb1/csi/${volumeIdFromName("other")}.img`]);
    });

    test("a pool that is away and never had a volume of ours keeps nothing back", async () => {
      const on = await start({ profile });
      await create(on);
      await on.simulator.device.setPool("usb2", { mounted: false });
      for (const by of [on, on, another(on)]) expect(await deleted(by)).toBe("OK");
    });
  });
}

test("the pool goes away between the look and the change: the item stays", async () => {
  const on = await start();
  await create(on);
  const { found, mounted } = await on.rds.forRemoval(ID, on.signal);
  if (found?.kind !== "volume") throw new Error("not found");
  await on.simulator.device.setPool("storage-pool", { mounted: false });
  const layout = { pool: "storage-pool", directory: "csi" };
  await expect(on.rds.remove(found.volume, layout, mounted, on.signal)).rejects.toMatchObject({
    id: "filePoolNotMounted",
    code: 14,
  });
  expect(on.simulator.device.disk(ID)).toBeDefined();
});

test("a pool that is gone for good: its items removed by hand, what is left can be deleted", async () => {
  const on = await start();
  await create(on, NAME, "usb1");
  await on.simulator.device.setPool("usb1", { mounted: false });
  expect(await deleted(on)).toBe("filePoolNotMounted");
  await on.simulator.device.removeDisk(ID);
  // As the remedy says: the controller is started again.
  expect(await deleted(another(on))).toBe("OK");
});

test("no command that destroys selects by a pattern", async () => {
  const on = await start();
  await copyAt(on, PATH);
  await create(on);
  await interruptedDelete(on);
  await deleted(another(on));
  const lines = on.commandsSince().filter((line) => DELETES.test(line));
  expect(lines.length).toBeGreaterThan(2);
  for (const line of lines) expect(line).not.toMatch(/(?:name|slot|path|comment)~/);
});

test("DeleteVolume costs two RouterOS commands, also repeated by another controller; three where that one finds a file", async () => {
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
  await copyAt(on, PATH);
  by = await fresh();
  expect(await deleted(by)).toBe("OK");
  expect(on.commandsSince()).toHaveLength(3);
  expect(filesOf(on)).toEqual([]);
});
