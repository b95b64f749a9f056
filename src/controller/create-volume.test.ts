import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import {
  addSubvolume,
  FILE_LAYOUTS,
  fileOf,
  filesOf,
  placeOf,
  stored,
  subvolumesOf,
} from "../../test/support/file-layouts.ts";
import { outcome, useStack, type Wish } from "../../test/support/own-stack.ts";
import { GIB, MIB } from "../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { create, ID, publish } from "./calls.fixture.ts";

const start = useStack();

describe("CreateVolume", () => {
  test("names of 1 and 128 bytes, unicode and shell characters, each its own volume", async () => {
    const on = await start();
    const names = [
      "a",
      "x".repeat(128),
      "ä".repeat(64),
      'pvc"; /system/reboot; :put "',
      "$[/disk/remove [find]]",
      "`reboot` && rm -rf /",
      "名前",
      "a;b=c,d|e%41",
      "\\",
      "~ok:0~",
    ];
    for (const name of names) await create(on, { name });
    const { volumes } = await on.rds.list(on.signal);
    expect(new Set(volumes.map((volume) => volume.record.name))).toEqual(new Set(names));
    for (const name of names) await on.volumes.delete(volumeIdFromName(name), on.signal);
    expect(on.simulator.device.disks).toEqual([]);
    expect([filesOf(on), subvolumesOf(on)]).toEqual([[], []]);
  });

  test("hostile text in every other string", async () => {
    const on = await start();
    const evil = '"; /disk/remove [find]; :put "$x';
    const { id } = await create(on, {
      parameters: { "csi.storage.k8s.io/pvc/name": evil, "csi.storage.k8s.io/pvc/namespace": evil },
    });
    const { volumes } = await on.rds.list(on.signal);
    expect(volumes[0]?.record.claim).toEqual({ namespace: evil, name: evil });
    expect(await outcome(create(on, { name: "b", parameters: { pool: evil } }))).toStartWith(
      "INVALID_ARGUMENT: StorageClass parameter pool=",
    );
    expect(await outcome(publish(on, id, evil))).toBe(`NOT_FOUND: node ${JSON.stringify(evil)} is not known`);
    expect(await outcome(on.attachments.unpublish(id, evil, on.signal))).toBe("OK");
    expect(on.simulator.device.disks).toHaveLength(1);
  });

  test("capacity 0, 1, 2^53+1 and -1", async () => {
    const on = await start({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 2n ** 55n }] });
    expect((await create(on, { name: "zero", required: 0n })).sizeBytes).toBe(GIB);
    expect((await create(on, { name: "one", required: 1n })).sizeBytes).toBe(MIB);
    expect((await create(on, { name: "huge", required: 2n ** 53n + 1n })).sizeBytes).toBe(2n ** 53n + MIB);
    expect(await outcome(create(on, { required: -1n }))).toBe(
      "INVALID_ARGUMENT: capacity_range.required_bytes is invalid: -1 is negative",
    );
  });

  test("a pool that is full, and one that could never hold it", async () => {
    const on = await start({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 4n * GIB }] });
    expect(await outcome(create(on, { required: 4n * GIB }))).toStartWith(
      "RESOURCE_EXHAUSTED: pool storage-pool has ",
    );
    expect(await outcome(create(on, { required: 2n ** 53n + 1n }))).toBe(
      "OUT_OF_RANGE: capacity range required_bytes=9007199254740993 limit_bytes=0 cannot be met: pool storage-pool has 4294967296 bytes in all",
    );
    expect(on.simulator.device.disks).toEqual([]);
  });

  for (const layout of FILE_LAYOUTS) {
    for (const noSpace of ["clean", "item-left", "file-left"] as const) {
      test(`the device itself runs full (${noSpace}), layout ${layout}: RESOURCE_EXHAUSTED, and nothing is left; RouterOS is named as refusing`, async () => {
        const on = await start({ switches: { noSpace } });
        on.simulator.faults.add({ kind: "diskFull" }, { line: /\/disk\/add/ });
        expect(await outcome(create(on, { parameters: { layout } }))).toMatch(
          /^RESOURCE_EXHAUSTED: RouterOS refused 8Mi in pool storage-pool for want of space \([^()]*space[^()]*\); the driver had counted 1022\.\dGi as left$/,
        );
        expect(on.simulator.device.disks).toEqual([]);
        expect([filesOf(on), subvolumesOf(on)]).toEqual([[], []]);
      });
    }

    test(`a file that someone else's disk uses is not removed, layout ${layout}`, async () => {
      const clock = fastClock(20);
      const on = await start({ clock, simulatorClock: clock });
      if (layout === "subvolume") await addSubvolume(on, placeOf(ID, layout));
      await on.simulator.device.addForeignDisk({ slot: "other", path: fileOf(ID, layout), size: GIB });
      const before = stored(on.simulator);
      expect(await outcome(create(on, { parameters: { layout } }))).toBe(
        `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: its file is used by another disk item of the RDS`,
      );
      expect(await outcome(on.volumes.delete(ID, on.signal))).toStartWith("FAILED_PRECONDITION: ");
      expect(stored(on.simulator)).toEqual(before);
    });
  }

  test("volumes that are created at the same time do not share the same space", async () => {
    const on = await start({
      pools: [{ slot: "storage-pool", fs: "btrfs", size: 10n * GIB }],
      switches: { allocation: "sparse" },
    });
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, index) => outcome(create(on, { name: `v${index}`, required: 2n * GIB }))),
    );
    const made = on.simulator.device.disks.reduce((sum, disk) => sum + (disk.size ?? 0n), 0n);
    expect(made).toBeLessThanOrEqual(9n * GIB);
    expect(results.filter((result) => result === "OK")).toHaveLength(on.simulator.device.disks.length);
    expect(
      results.filter((result) => result !== "OK").every((result) => result.startsWith("RESOURCE_EXHAUSTED")),
    ).toBe(true);
  });

  test("a pool that is missing or not mounted", async () => {
    const on = await start();
    expect(await outcome(create(on, { parameters: { pool: "nope" } }))).toBe(
      'INVALID_ARGUMENT: pool "nope" does not exist on the RDS',
    );
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    expect(await outcome(create(on))).toBe('UNAVAILABLE: pool "storage-pool" is not mounted on the RDS');
    expect(on.simulator.device.disks).toEqual([]);
  });

  test("a foreign disk under our slot is never touched", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/backup/${ID}.img`,
      size: GIB,
      comment: "precious",
    });
    const before = structuredClone(on.simulator.device.disks);
    expect(await outcome(create(on))).toBe(
      `ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: disk ${ID} on the RDS is not managed by this driver (its comment holds no record of this driver)`,
    );
    const refusal = `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: its comment holds no record of this driver`;
    expect(await outcome(publish(on, ID, "node-a"))).toBe(refusal);
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(refusal);
    expect(await outcome(on.attachments.unpublish(ID, "", on.signal))).toBe("OK");
    expect(on.simulator.device.disks).toEqual(before);
  });

  test("a disk of another cluster is foreign too", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/csi/${ID}.img`,
      size: GIB,
      comment: "rds1;n=pvc-1;c=other;t=1",
    });
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(
      `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: it belongs to cluster other`,
    );
    expect((await on.volumes.list(on.signal)).entries).toEqual([]);
  });

  test("a slot that belongs to a volume of another name", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/csi/${ID}.img`,
      size: GIB,
      comment: "rds1;n=pvc-2;c=test;t=1",
    });
    expect(await outcome(create(on))).toBe(
      `FAILED_PRECONDITION: the record of volume ${ID} on the RDS cannot be used: its record is that of the volume named "pvc-2"`,
    );
  });

  test("an existing volume with other properties, each named", async () => {
    const on = await start();
    await create(on, { required: 8n * MIB });
    const asked = (wish: Wish) => outcome(create(on, wish));
    const prefix = 'ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: ';
    expect(await asked({ required: 9n * MIB })).toBe(
      `${prefix}its size is 8388608 bytes, asked for required_bytes=9437184 limit_bytes=0`,
    );
    expect(await asked({ required: MIB, limit: 4n * MIB })).toBe(
      `${prefix}its size is 8388608 bytes, asked for required_bytes=1048576 limit_bytes=4194304`,
    );
    expect(await asked({ parameters: { migrationTimeoutSeconds: "600" } })).toBe(
      `${prefix}its migrationTimeoutSeconds is 300, asked for 600`,
    );
    expect(await asked({ parameters: { layout: "plain" } })).toBe(
      `${prefix}its layout is subvolume, asked for is plain`,
    );
    expect(await asked({ required: MIB, limit: 8n * MIB })).toBe("OK");
    expect(await asked({ parameters: { layout: "subvolume" } })).toBe("OK");
  });
});
