import { describe, expect, test } from "bun:test";
import { GIB } from "../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { Script } from "../routeros/script.ts";
import { VolumeCache } from "./cache.ts";
import { type RdsContext, runChecked } from "./context.ts";
import type { Disk } from "./disk.ts";
import { FileTally, poolWith, requirePool } from "./pool.ts";
import { DISK, ID, RECORD } from "./rds.fixture.ts";
import { parseVersion, requireSupported } from "./version.ts";
import { classify, type RdsVolume } from "./volume.ts";

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

  const poolFrom = (listed: readonly Disk[], slot: string, reserve: bigint) => {
    const disk = requirePool(listed, slot);
    const tally = new FileTally({ ids: [], endings: 0 });
    tally.take(listed, [disk.mountPoint]);
    return poolWith(disk, tally.below(disk.mountPoint), reserve);
  };

  test("is bound by the free space and by the sum of all files, less the reserve", () => {
    expect(poolFrom([pool], "p", GIB).available).toBe(89n * GIB);
    // Thin files have taken nothing yet.
    expect(poolFrom([pool, file("a", 60n * GIB)], "p", GIB).available).toBe(39n * GIB);
    expect(poolFrom([pool, file("a", 60n * GIB, "p/csi/a/disk.img")], "p", GIB).available).toBe(39n * GIB);
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
    const ofOther = "rds1;n=pvc-2;c=test;t=1;e=1;a=n,q,0,bw,1";
    expect(kindOf({ comment: ofOther })).toBe('its record is that of the volume named "pvc-2"');
    // Its own record may say who has it.
    expect(classify({ ...DISK, comment: ofOther }, "test")).toMatchObject({
      foreign: { cause: "unreadable" },
    });
    const adopted = "pvc-0b2c6a3e-6f0e-4a5b-9a43-2f1f0c8f7d11";
    expect(kindOf({ slot: adopted, filePath: `p/${adopted}.img`, comment: ofOther })).toBe("volume");
    expect(kindOf({ filePath: `p/${ID}/disk.img` })).toBe("volume");
    for (const path of [
      "storage-pool/csi/other.img",
      "storage-pool/csi/other/disk.img",
      `storage-pool/csi/${ID}/other.img`,
      `storage-pool/csi/${ID}/disk.img/x`,
      `storage-pool/csi/x${ID}/disk.img`,
    ])
      expect(kindOf({ filePath: path })).toBe(`its file ${path} is not named after it`);
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
  cache.put(volume(2), change);
  cache.put(volume(1), before);
  expect(cache.get(ID)?.record.createdAt).toBe(2);
  cache.forget(ID);
  cache.put(volume(2), change);
  expect(cache.get(ID)).toBeUndefined();
  const mark = cache.mark();
  cache.putListed([volume(3)], mark);
  expect(cache.get(ID)?.record.createdAt).toBe(3);
  const later = cache.forget(ID);
  cache.putListed([volume(3)], mark);
  expect(cache.get(ID)).toBeUndefined();
  cache.put(volume(4), later);
  const other = volumeIdFromName("other");
  cache.putListed([{ ...volume(5), id: other }], cache.mark());
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

test("an item that goes while a list is read: it is read again, and the call repeated if that does not help; for a change it is an error", async () => {
  const error = { kind: "absent", reason: undefined, text: "no such item" };
  let [asked, gone] = [0, 0];
  const run = async () => {
    asked += 1;
    return asked <= gone ? { ok: false, failure: error } : { ok: true };
  };
  const client = { run } as unknown as RdsContext["client"];
  const { signal } = new AbortController();
  for (const [purpose, times, sent, id] of [
    ["read", 2, 3, undefined],
    ["read", 3, 3, "rdsBusy"],
    ["change", 1, 1, "commandRejected"],
  ] as const) {
    [asked, gone] = [0, times];
    const command = { what: "list volumes", purpose, body: (rows: Script) => rows, signal };
    const given = runChecked({ client }, command);
    if (id === undefined) await given;
    else await expect(given).rejects.toMatchObject({ id });
    expect([purpose, times, asked]).toEqual([purpose, times, sent]);
  }
});
