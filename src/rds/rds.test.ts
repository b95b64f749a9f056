import { describe, expect, test } from "bun:test";
import { useStack } from "../../test/support/own-stack.ts";
import { BRISK_CLOCK, GIB, LAYOUT, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { systemClock } from "../domain/clock.ts";
import { encodeRecord } from "../domain/record/record-codec.ts";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../domain/record/volume-record.ts";
import { parseVolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { silentLogger } from "../observability/log.ts";
import { RouterOsClient } from "../routeros/client.ts";
import type { Transport } from "../routeros/transport/transport.ts";
import { VolumeCache } from "./cache.ts";
import type { RdsContext } from "./context.ts";
import { createVolume } from "./create.ts";
import type { Disk } from "./disk.ts";
import { exportPause } from "./export.ts";
import { pollUntil, SETTLE_LIMIT_MS } from "./poll.ts";
import { poolFrom } from "./pool.ts";
import { parseVersion, requireSupported } from "./version.ts";
import { classify, type RdsVolume } from "./volume.ts";
import { writeRecord } from "./write-record.ts";

const ID = volumeIdFromName("pvc-1");
const PATH = `storage-pool/csi/${ID}.img`;
const RECORD: VolumeRecord = {
  name: "pvc-1",
  cluster: "test",
  claim: undefined,
  createdAt: 1,
  source: undefined,
  filesystem: undefined,
  epoch: 0,
  attachments: [],
  migration: undefined,
  ended: [],
  settings: DEFAULT_SETTINGS,
  unknown: [],
};
const ATTACHED: VolumeRecord = {
  ...RECORD,
  epoch: 1,
  attachments: [
    {
      node: "node-a",
      hostNqn: "nqn.h",
      accessMode: "SINGLE_NODE_WRITER",
      accessType: "block",
      readonly: false,
      since: 2,
    },
  ],
};
const DISK: Disk = {
  slot: ID,
  type: "file",
  comment: encodeRecord(RECORD),
  filePath: PATH,
  size: GIB,
  free: undefined,
  mounted: false,
  mountPoint: "",
  fs: "-",
  state: "",
  mountFilesystem: false,
  exported: false,
  nqn: "",
  port: undefined,
  allowHost: "",
};

const start = useStack();
async function created(on: Stack, id = ID): Promise<RdsVolume> {
  const { pool } = await on.rds.pool("storage-pool", 0n, on.signal);
  const found = await on.rds.create({
    id,
    layout: LAYOUT,
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
    const { pool } = await on.rds.pool("storage-pool", 0n, on.signal);
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    const spec = { id: ID, layout: LAYOUT, pool, sizeBytes: MIB, record: RECORD, signal: on.signal };
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
    const { pool } = await on.rds.pool("storage-pool", 0n, on.signal);
    await on.simulator.device.addForeignDisk({ slot: ID, path: "storage-pool/x.img", size: GIB });
    const spec = { id: ID, layout: LAYOUT, pool, sizeBytes: MIB, record: RECORD, signal: on.signal };
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
    const pauses = [1, 2, 3, 4, 5, 6, 300].map((seconds) => exportPause(seconds).render(""));
    expect(pauses).toEqual(
      ["500", "500", "1000", "2000", "3000", "3000", "3000"].map((ms) => `:delay ${ms}ms`),
    );
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

const NONCE = "0a1b2c3d";

/**
 * A RouterOS that answers each command with the next rows, or error text; the last one again and again. The read that a
 * client sends before its first change gets no rows and counts for nothing.
 */
function scripted(answers: readonly (readonly object[] | string)[]): RdsContext & { asked: () => number } {
  let asked = 0;
  let isChanged = false;
  const transport: Transport = {
    address: "scripted",
    exec: async (line, { purpose }) => {
      const nonce = /~ok:([0-9a-f]+)~/.exec(line)?.[1] ?? "";
      isChanged ||= purpose === "mutate";
      const rows = isChanged ? (answers[Math.min(asked, answers.length - 1)] ?? []) : [];
      if (isChanged) asked += 1;
      if (typeof rows === "string") return { stdout: `~err:${nonce}~${rows}`, stderr: "", exitCode: 0, line };
      return {
        stdout: `~p:${nonce}:disks~${JSON.stringify(rows)}~e:${nonce}~\r\n~ok:${nonce}~\r\n`,
        stderr: "",
        exitCode: 0,
        line,
      };
    },
    close: async () => {},
    connected: () => true,
    onReconnect: () => () => {},
  };
  let now = 0;
  return {
    client: new RouterOsClient(transport),
    clock: {
      ...systemClock,
      monotonic: () => now,
      sleep: async (ms) => {
        now += ms;
      },
    },
    logger: silentLogger,
    clusterId: "test",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
    nvmePort: 4420,
    fencing: "epoch",
    nonce: () => NONCE,
    asked: () => asked,
  };
}

describe("reading back after a write", () => {
  const volume: RdsVolume = { id: ID, record: RECORD, disk: DISK };
  const row = (over: object) => ({
    slot: ID,
    type: "file",
    "file-path": `/${PATH}`,
    size: 1_073_741_824,
    ...over,
  });
  const nqn = `nqn.2000-02.com.mikrotik:${ID}.1-${NONCE}`;
  const up = row({
    comment: encodeRecord({ ...ATTACHED, exportName: { nqn, port: 4420, hosts: false } }),
    "nvme-tcp-export": true,
    "nvme-tcp-server-nqn": nqn,
    "nvme-tcp-server-port": 4420,
  });
  const down = { ...up, "nvme-tcp-export": false };
  const { signal } = new AbortController();

  test("an export that comes up late is waited for", async () => {
    const context = scripted([[down], [down], [up]]);
    expect((await writeRecord(context, volume, ATTACHED, "fresh", signal)).kind).toBe("written");
    expect(context.asked()).toBe(3);
  });

  test("an export that never comes up, or under another NQN, is an error", async () => {
    for (const never of [
      down,
      { ...up, "nvme-tcp-server-nqn": "nqn.2020-01.org.example:x" },
      { ...up, "nvme-tcp-server-port": 4421 },
    ]) {
      await expect(writeRecord(scripted([[never]]), volume, ATTACHED, "fresh", signal)).rejects.toMatchObject(
        { id: "notVerified" },
      );
    }
  });

  test("a record that did not change is an error; another one a conflict; none, absent", async () => {
    await expect(
      writeRecord(scripted([[row({ comment: DISK.comment })]]), volume, ATTACHED, "fresh", signal),
    ).rejects.toMatchObject({ id: "notVerified" });
    expect(
      await writeRecord(
        scripted([[row({ comment: "rds1;n=pvc-1;c=test;t=9" })]]),
        volume,
        ATTACHED,
        "fresh",
        signal,
      ),
    ).toEqual({ kind: "conflict" });
    expect(await writeRecord(scripted([[]]), volume, ATTACHED, "fresh", signal)).toEqual({ kind: "absent" });
  });

  test("two disks in one slot are an error, not the first of them", async () => {
    await expect(writeRecord(scripted([[up, up]]), volume, ATTACHED, "fresh", signal)).rejects.toMatchObject({
      id: "replyUnreadable",
    });
  });
});

describe("a create that fails on the device", () => {
  const row = {
    slot: ID,
    type: "file",
    "file-path": `/${PATH}`,
    size: 1_048_576,
    comment: encodeRecord(RECORD),
  };
  const pool = poolFrom(
    [
      {
        ...DISK,
        slot: "storage-pool",
        type: "raid",
        size: GIB,
        free: GIB,
        mounted: true,
        mountPoint: "storage-pool",
      },
    ],
    "storage-pool",
    0n,
  );
  const create = (answers: readonly (readonly object[] | string)[]) =>
    createVolume(scripted(answers), {
      id: ID,
      layout: LAYOUT,
      pool,
      sizeBytes: MIB,
      record: RECORD,
      signal: new AbortController().signal,
    });

  test("because the slot has just been taken: what took it is the answer", async () => {
    expect(await create(["failure: already have such entry", [row]])).toMatchObject({
      kind: "volume",
      volume: { id: ID },
    });
    expect(await create(["failure: already have such entry", [{ ...row, comment: "" }]])).toMatchObject({
      kind: "foreign",
    });
  });

  test("for another reason: final when nothing is there, to be repeated when something is", async () => {
    await expect(create(["failure: something new", []])).rejects.toMatchObject({
      id: "commandRejected",
      code: 13,
    });
    await expect(create(["failure: something new", [row]])).rejects.toMatchObject({
      id: "rdsBusy",
      code: 14,
    });
    await expect(create(["action timed out - try again", []])).rejects.toMatchObject({ id: "rdsBusy" });
  });

  test("in another language: never taken for success, for absence or for a slot that is taken", async () => {
    for (const text of ["Element nicht vorhanden (4)", "Fehler: Eintrag ist schon da", "kein Platz"]) {
      await expect(create([text, []])).rejects.toMatchObject({ id: "commandRejected" });
      // Something is there: looked at again by the repeated call, not handed out unread.
      await expect(create([text, [row]])).rejects.toMatchObject({ id: "rdsBusy" });
      await expect(create([text, text])).rejects.toMatchObject({ id: "commandRejected" });
    }
  });

  test("or comes out with another size, file or mount setting: not handed out", async () => {
    await expect(create([[{ ...row, size: 2_097_152 }]])).rejects.toMatchObject({ id: "sizeNotConfirmed" });
    await expect(create([[{ ...row, size: 0 }]])).rejects.toMatchObject({ id: "sizeNotConfirmed" });
    await expect(create([[{ ...row, "file-path": "/other-pool/csi/x.img" }]])).rejects.toMatchObject({
      id: "notVerified",
    });
    await expect(create([[{ ...row, "mount-filesystem": true }]])).rejects.toMatchObject({
      id: "notVerified",
    });
    await expect(create([[]])).rejects.toMatchObject({ id: "notVerified" });
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

test("polling stops at its limit and with the caller's signal", async () => {
  const { clock } = scripted([[]]);
  let reads = 0;
  const never = () =>
    pollUntil(
      clock,
      new AbortController().signal,
      0,
      async () => ++reads,
      () => false,
    );
  expect(await never()).toBe(reads);
  expect(clock.monotonic()).toBeGreaterThanOrEqual(SETTLE_LIMIT_MS);
  const stop = new AbortController();
  stop.abort(new Error("gone"));
  await expect(
    pollUntil(
      systemClock,
      stop.signal,
      0,
      async () => 1,
      () => false,
    ),
  ).rejects.toThrow("gone");
});

describe("a pool's space", () => {
  const pool: Disk = {
    ...DISK,
    slot: "p",
    type: "raid",
    comment: "",
    filePath: "",
    size: 100n * GIB,
    free: 90n * GIB,
    mounted: true,
    mountPoint: "p",
  };
  const file = (slot: string, size: bigint | undefined, path = `p/csi/${slot}.img`): Disk => ({
    ...DISK,
    slot,
    filePath: path,
    size,
  });

  test("is bound by the free space and by the sum of all files, less the reserve", () => {
    expect(poolFrom([pool], "p", GIB).available).toBe(89n * GIB);
    // Thin files have taken nothing yet.
    expect(poolFrom([pool, file("a", 60n * GIB)], "p", GIB).available).toBe(39n * GIB);
    // Foreign files and snapshots have taken more than our files.
    expect(poolFrom([{ ...pool, free: 5n * GIB }, file("a", 60n * GIB)], "p", GIB).available).toBe(4n * GIB);
    expect(poolFrom([pool, file("a", 200n * GIB)], "p", GIB).available).toBe(0n);
    expect(poolFrom([pool, file("a", 60n * GIB, "p2/csi/a.img")], "p", GIB).available).toBe(89n * GIB);
    expect(poolFrom([{ ...pool, free: 2n * GIB + 5n }], "p", GIB).available).toBe(GIB);
  });

  test("a pool that is missing, a file, not mounted or without a size is refused", () => {
    expect(() => poolFrom([], "p", 0n)).toThrow('pool "p" does not exist');
    expect(() => poolFrom([{ ...pool, type: "file" }], "p", 0n)).toThrow('pool "p" does not exist');
    for (const broken of [
      { mounted: false },
      { size: undefined },
      { free: undefined },
      { mountPoint: "" },
      { mountPoint: "a b" },
      { mountPoint: ".." },
    ]) {
      expect(() => poolFrom([{ ...pool, ...broken }], "p", 0n)).toThrow("is not mounted");
    }
  });
});

describe("whose disk it is", () => {
  const kindOf = (over: Partial<Disk>) => {
    const found = classify({ ...DISK, ...over }, "test");
    return found?.kind === "foreign" ? found.foreign.reason : found?.kind;
  };
  test("ours only with slot, type, record, cluster and file of ours", () => {
    expect(kindOf({})).toBe("volume");
    expect(kindOf({ slot: "raid10" })).toBeUndefined();
    expect(kindOf({ type: "tmpfs" })).toBe("it is of type tmpfs, not a file");
    expect(kindOf({ comment: "" })).toBe("its comment holds no record of this driver");
    expect(kindOf({ comment: "rds1;n=x" })).toBe("its record cannot be read: field c is missing");
    expect(kindOf({ comment: "rds1;n=x;c=other;t=1" })).toBe("it belongs to cluster other");
    expect(kindOf({ filePath: "storage-pool/csi/other.img" })).toBe(
      "its file storage-pool/csi/other.img is not named after it",
    );
  });
});

test("a read that began before a change of ours does not overwrite what the change left", () => {
  const cache = new VolumeCache();
  const volume = (since: number): RdsVolume => ({
    id: ID,
    record: { ...RECORD, createdAt: since },
    disk: DISK,
  });
  const before = cache.generation(ID);
  const change = cache.forget(ID);
  cache.put(ID, volume(2), change);
  cache.put(ID, volume(1), before);
  expect(cache.get(ID)?.record.createdAt).toBe(2);
  cache.forget(ID);
  cache.put(ID, volume(2), change);
  expect(cache.get(ID)).toBeUndefined();
  const mark = cache.mark();
  cache.putListed(ID, volume(3), mark);
  expect(cache.get(ID)?.record.createdAt).toBe(3);
  const later = cache.forget(ID);
  cache.putListed(ID, volume(3), mark);
  expect(cache.get(ID)).toBeUndefined();
  cache.put(ID, volume(4), later);
  const other = volumeIdFromName("other");
  cache.putListed(other, volume(5), cache.mark());
  expect(cache.get(other)?.record.createdAt).toBe(5);
  for (let index = 0; index < 5_000; index++) cache.forget(volumeIdFromName(String(index)));
  expect(cache.generation(ID)).toBeGreaterThan(change);
});

describe("RouterOS versions", () => {
  for (const [text, major, minor, patch] of [
    ["7.24.5 (stable)", 7, 24, 5],
    ["7.23.8 (long-term)", 7, 23, 8],
    ["7.26beta4 (development)", 7, 26, 0],
    ["7.25rc1 (testing)", 7, 25, 0],
    ["7.21 (stable)\r", 7, 21, 0],
    ["8.0", 8, 0, 0],
  ] as const) {
    test(`${text.trim()} is supported`, () => {
      expect(parseVersion(text)).toMatchObject({ major, minor, patch });
      expect(requireSupported(text).minor).toBe(minor);
    });
  }
  test("older ones are refused, unreadable ones are not guessed", () => {
    for (const text of ["7.20.9 (stable)", "6.49.18 (long-term)"])
      expect(() => requireSupported(text)).toThrow(`RouterOS ${text} is too old`);
    for (const text of ["", "stable", "v7.24"])
      expect(() => requireSupported(text)).toThrow("could not be read");
  });
});
