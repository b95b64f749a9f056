import { describe, expect, test } from "bun:test";
import { useStack } from "../../test/support/own-stack.ts";
import { BRISK_CLOCK, GIB, LAYOUT, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { connectionOf } from "../domain/record/volume-record.ts";
import { parseVolumeId } from "../domain/volume-id.ts";
import { exportPause } from "./export.ts";
import { ATTACHED, ID, PATH, RECORD } from "./rds.fixture.ts";
import type { RdsVolume } from "./volume.ts";

const start = useStack();

async function created(on: Stack, id = ID): Promise<RdsVolume> {
  const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
  const found = await on.rds.create({
    id,
    layout: LAYOUT,
    form: "plain" as const,
    pool,
    sizeBytes: 8n * MIB,
    record: RECORD,
    signal: on.signal,
  });
  if (found.kind !== "volume") throw new Error(found.foreign.reason);
  return found.volume;
}

describe("create", () => {
  test("a pool that is unmounted after it was looked at gets no file", async () => {
    const on = await start();
    const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    const spec = {
      id: ID,
      layout: LAYOUT,
      form: "plain" as const,
      pool,
      sizeBytes: MIB,
      record: RECORD,
      signal: on.signal,
    };
    await expect(on.rds.create(spec)).rejects.toMatchObject({ id: "poolNotMounted" });
    expect(on.simulator.device.disks).toEqual([]);
  });

  test("a file that an interrupted call left is never reused: old data does not come back", async () => {
    const on = await start();
    await on.simulator.device.makeDirectories("storage-pool/csi");
    await on.simulator.device.addFile(PATH, 8n * MIB);
    await on.simulator.device.writeFile(PATH, 4096n, Buffer.from("old tenant's secret"));
    await created(on);
    expect(Buffer.from(await on.simulator.device.readFile(PATH, 4096n, 19)).toString("latin1")).toBe(
      "\0".repeat(19),
    );
  });

  test("a slot that is taken meanwhile is returned as it is, unchanged", async () => {
    const on = await start();
    const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
    await on.simulator.device.addForeignDisk({ slot: ID, path: "storage-pool/x.img", size: GIB });
    const spec = {
      id: ID,
      layout: LAYOUT,
      form: "plain" as const,
      pool,
      sizeBytes: MIB,
      record: RECORD,
      signal: on.signal,
    };
    expect((await on.rds.create(spec)).kind).toBe("foreign");
    expect(on.simulator.device.disks).toHaveLength(1);
  });
});

describe("remove", () => {
  const removed = async (on: Stack, volume: RdsVolume) => {
    const { mounted } = await on.rds.forRemoval(volume.id, on.signal);
    on.commandsSince();
    return on.rds.remove(volume, LAYOUT, mounted, on.signal);
  };
  const fileRemoved = async (on: Stack, id = ID) => {
    // Another process: it does not remember where the volume was.
    const { rds } = on.controller();
    const { mounted } = await rds.forRemoval(id, on.signal);
    return rds.removeFileOnly(id, LAYOUT, mounted, on.signal);
  };

  test("export off, then the item, then the file, in one command", async () => {
    const on = await start();
    const volume = await created(on);
    expect(await removed(on, volume)).toBe("removed");
    const [line = "", ...more] = on.commandsSince();
    expect(more).toEqual([]);
    const steps = ["nvme-tcp-export=no", "/disk/remove", "/file/remove"].map((step) => line.indexOf(step));
    expect(steps.every((at, index) => at > (steps[index - 1] ?? 0))).toBe(true);
  });

  test("a file counts as absent only if its pool is mounted before and after the look for it", async () => {
    const on = await start();
    on.commandsSince();
    const volume = await created(on);
    const add = on.commandsSince().find((line) => line.includes("/disk/add")) ?? "";
    await removed(on, volume);
    const [line = ""] = on.commandsSince();
    const mounted = (text: string) => text.match(/slot="storage-pool" and mounted/g)?.length ?? 0;
    const [before = "", after = ""] = add.slice(0, add.indexOf("/disk/add")).split("/file/find");
    expect([mounted(before), mounted(after)]).toEqual([1, 1]);
    const [first = "", , last = ""] = line.split("/file/find");
    expect([mounted(first), mounted(last)]).toEqual([1, 1]);
  });

  test("an item that was changed since it was read is not removed", async () => {
    const on = await start();
    const volume = await created(on);
    await on.rds.write(volume, ATTACHED, "fresh", on.signal);
    expect(await removed(on, volume)).toBe("changed");
    expect(on.simulator.device.disks).toMatchObject([{ slot: ID, exported: true }]);
  });

  test("the file alone: only in our folder, only without an item, and never of an adopted volume", async () => {
    const on = await start();
    const { device } = on.simulator;
    for (const folder of ["csi", "elsewhere"]) await device.makeDirectories(`storage-pool/${folder}`);
    await device.addFile(`storage-pool/elsewhere/${ID}.img`, MIB);
    await device.addFile(PATH, MIB);
    expect(await fileRemoved(on)).toBe("removed");
    expect(device.files.filter((file) => !file.directory).map((file) => file.path)).toEqual([
      `storage-pool/elsewhere/${ID}.img`,
    ]);
    await created(on);
    expect(await fileRemoved(on)).toBe("changed");
    expect(device.disks).toHaveLength(1);
    const adopted = parseVolumeId("pvc-0f8fad5b-d9cb-469f-a165-70867728950e");
    if (adopted === undefined) throw new Error("no handle");
    expect(await fileRemoved(on, adopted)).toBe("removed");
    await device.addFile(`storage-pool/csi/${adopted}.img`, MIB);
    await expect(fileRemoved(on, adopted)).rejects.toMatchObject({ id: "fileNotProven" });
    expect(device.file(`storage-pool/csi/${adopted}.img`)).toBeDefined();
  });
});

test("a stray file is looked for by its exact path on mounted pools", async () => {
  const on = await start({
    pools: ["storage-pool", "usb1"].map((slot) => ({ slot, fs: "xfs" as const, size: 8n * GIB })),
  });
  const { device } = on.simulator;
  const stray = async () => {
    const { mounted } = await on.rds.survey(on.signal);
    return (await on.rds.strayFile(ID, "csi", mounted, on.signal))?.path;
  };
  for (const folder of ["storage-pool/backup/csi", "usb1/csi"]) await device.makeDirectories(folder);
  await device.addFile(`storage-pool/backup/csi/${ID}.img`, MIB);
  expect(await stray()).toBeUndefined();
  await device.addFile(`usb1/csi/${ID}.img`, MIB);
  expect(await stray()).toBe(`usb1/csi/${ID}.img`);
  await device.setPool("usb1", { mounted: false });
  expect(await stray()).toBeUndefined();
});

describe("write", () => {
  test("an export that stands under another NQN goes off before it comes up under the new one", async () => {
    const on = await start();
    const volume = await created(on);
    await on.simulator.device.setDisk(ID, {
      "nvme-tcp-export": true,
      "nvme-tcp-server-nqn": "nqn.2020-01.org.example:stale",
    });
    const found = await on.rds.find(ID, on.signal);
    if (found?.kind !== "volume") throw new Error("not found");
    expect(found.volume.disk.nqn).toBe("nqn.2020-01.org.example:stale");
    on.commandsSince();
    await on.rds.write(found.volume, ATTACHED, "fresh", on.signal);
    const [claim = "", opening = "", ...more] = on.commandsSince();
    expect(more).toEqual([]);
    expect(claim).toContain("nvme-tcp-export=no");
    expect(claim).not.toContain("nvme-tcp-export=yes");
    expect(opening).toContain("nvme-tcp-export=yes");
    const [disk] = on.simulator.device.disks;
    expect(disk?.exported).toBe(true);
    expect(disk?.nqn).toMatch(new RegExp(`^nqn\\.2000-02\\.com\\.mikrotik:${volume.id}\\.1-[0-9a-f]{8}$`));
  });

  test.each(["effective", "coalesced"] as const)(
    "an export that runs under another name than the record's loses its hosts, where off and on in one line is %s",
    async (reExport) => {
      const switches = { reExport, renamedExport: "stays", connectedHosts: "dropped" } as const;
      const on = await start({ switches, simulatorClock: BRISK_CLOCK });
      const first = await on.rds.write(await created(on), ATTACHED, "fresh", on.signal);
      if (first.kind !== "written") throw new Error(first.kind);
      const { nqn } = first.volume.disk;
      const stale = "nqn.2020-01.org.example:stale";
      const { device } = on.simulator;
      await device.setDisk(ID, { "nvme-tcp-export": false });
      await device.setDisk(ID, { "nvme-tcp-export": true, "nvme-tcp-server-nqn": stale });
      expect(device.connectHost(stale, "nqn.stranger")).toBe(true);
      const found = await on.rds.find(ID, on.signal);
      if (found?.kind !== "volume") throw new Error("not found");
      const dropped = device.hosts.dropped;
      await on.rds.write(found.volume, found.volume.record, "keep", on.signal);
      expect(device.disks[0]).toMatchObject({ exported: true, nqn });
      expect(device.hosts.dropped).toBe(dropped + 1);
    },
  );

  test("the export stays off for as long as its hosts do not try to reconnect, 3 s at most", () => {
    const pauses = [1, 2, 3, 4, 5, 6, 300].map((reconnectDelay) =>
      exportPause({ ...ATTACHED, settings: { ...ATTACHED.settings, reconnectDelay } }).render(""),
    );
    expect(pauses).toEqual(
      ["500", "500", "1000", "2000", "3000", "3000", "3000"].map((ms) => `:delay ${ms}ms`),
    );
    // A host has the delay that it was given, whatever the volume's is by now.
    const connection = { ...connectionOf(ATTACHED.settings), reconnectDelay: 3 };
    const attachments = ATTACHED.attachments.map((each) => ({ ...each, connection }));
    const settings = { ...ATTACHED.settings, reconnectDelay: 300 };
    expect(exportPause({ ...ATTACHED, attachments, settings }).render("")).toBe(":delay 1000ms");
  });

  test("a second node that joins does not touch the running export", async () => {
    const on = await start();
    const first = await on.rds.write(await created(on), ATTACHED, "fresh", on.signal);
    if (first.kind !== "written") throw new Error(first.kind);
    const [holder] = ATTACHED.attachments;
    if (holder === undefined) throw new Error("no holder");
    const pair = {
      ...ATTACHED,
      attachments: [holder, { ...holder, node: "node-b" }],
      migration: { since: 3, timeoutSeconds: 300, by: "p", overdueBy: undefined },
    };
    on.commandsSince();
    expect((await on.rds.write(first.volume, pair, "keep", on.signal)).kind).toBe("written");
    expect(on.commandsSince().join()).not.toContain("nvme-tcp-");
  });

  test("a lost answer to a change is an unknown outcome, not an unreadable reply", async () => {
    const on = await start();
    const volume = await created(on);
    on.simulator.faults.add({ kind: "truncateOutput", bytes: 10 });
    await expect(on.rds.write(volume, ATTACHED, "fresh", on.signal)).rejects.toMatchObject({
      id: "rdsOutcomeUnknown",
    });
    expect(on.rds.remembered(ID)).toBeUndefined();
  });
});

test("a version that could not be read is asked again; one that was read is not", async () => {
  const on = await start({ profile: "current" });
  on.simulator.faults.add({ kind: "truncateOutput", bytes: 5 });
  await expect(on.rds.version(on.signal)).rejects.toMatchObject({ code: 14 });
  expect((await on.rds.version(on.signal)).text).toBe("7.24.5 (stable)");
  on.commandsSince();
  await on.rds.version(on.signal);
  expect(on.commandsSince()).toEqual([]);
  on.rds.forgetVersion();
  await on.rds.version(on.signal);
  expect(on.commandsSince()).toHaveLength(1);
});
