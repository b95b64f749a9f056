import { describe, expect, test } from "bun:test";
import { addSubvolume, placeOf, subvolumesOf } from "../../test/support/file-layouts.ts";
import { createVolume, outcome } from "../../test/support/own-stack.ts";
import { GIB, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import {
  CLONE,
  calls,
  looks,
  refused,
  SNAPSHOT,
  SOURCE,
  snapshotsOf,
  stateOf,
  useSnapshots,
} from "./snapshots.fixture.ts";

const { start, prepared } = useSnapshots();

describe("a pool that is away", () => {
  const away = (on: Stack, slot: string, mounted = false) => on.simulator.device.setPool(slot, { mounted });

  test("of the source: UNAVAILABLE for all of it", async () => {
    const on = await prepared({}, { pool: "usb1" });
    await away(on, "usb1");
    await refused(
      on,
      `UNAVAILABLE: the pool of volume ${SOURCE} is not mounted on the RDS`,
      () => calls.snapshot(on, "s2"),
      () => calls.clone(on),
    );
    const unknown = `UNAVAILABLE: whether snapshot ${SNAPSHOT} exists is not known: pool "usb1", which may hold it, is not mounted on the RDS`;
    await refused(on, unknown, () => calls.deleteSnapshot(on), ...looks(on));
    await away(on, "usb1", true);
    for (const call of [() => calls.restore(on), () => calls.deleteSnapshot(on)]) await call();
    expect(snapshotsOf(on)).toEqual([]);
  });

  test("the default one: no snapshot is absent", async () => {
    const on = await prepared();
    await calls.delete(on, SOURCE);
    await away(on, "storage-pool");
    const unknown = `UNAVAILABLE: whether snapshot ${SNAPSHOT} exists is not known: pool "storage-pool", which may hold it, is not mounted on the RDS`;
    await refused(
      on,
      unknown,
      () => calls.deleteSnapshot(on),
      () => on.snapshots.get(SNAPSHOT, on.signal),
      () => createVolume(on, { parameters: { pool: "usb1" }, source: { kind: "snapshot", id: SNAPSHOT } }),
      // Its source is deleted, so only the snapshot of that name says what the answer is.
      () => calls.snapshot(on),
    );
  });

  test("between the look and the change: nothing is called absent, and nothing made", async () => {
    for (const [call, answer] of [
      [calls.deleteSnapshot, `UNAVAILABLE: whether snapshot ${SNAPSHOT} exists is not known`],
      [calls.restore, 'UNAVAILABLE: pool "storage-pool" is not mounted'],
      [calls.clone, 'UNAVAILABLE: pool "storage-pool" is not mounted'],
      [
        (on: Stack) => calls.snapshot(on, "s2"),
        `UNAVAILABLE: the pool of volume ${SOURCE} is not mounted on the RDS`,
      ],
    ] as const) {
      const on = await prepared();
      const before = await stateOf(on);
      const { faults } = on.simulator;
      faults.hang({ line: /\/subvolume\/(?:add|remove)/ });
      const given = outcome((call as (on: Stack) => Promise<unknown>)(on));
      await until("the line is held", () => faults.hanging > 0);
      await away(on, "storage-pool");
      faults.release();
      expect(await given).toStartWith(answer);
      await away(on, "storage-pool", true);
      expect(await stateOf(on)).toEqual(before);
    }
  });

  test("that has nothing of ours keeps nothing back", async () => {
    const on = await prepared();
    await away(on, "usb1");
    await refused(on, /^NOT_FOUND: /, () => on.snapshots.get(snapshotIdFromName("s2"), on.signal));
    for (const call of [
      () => calls.restore(on),
      () => calls.deleteSnapshot(on),
      () => calls.deleteSnapshot(on),
    ])
      await call();
    expect(snapshotsOf(on)).toEqual([]);
  });
});

describe("labels of filesystems", () => {
  const labelled = (label: string) => [
    { slot: "storage-pool", fs: "btrfs" as const, size: 64n * GIB, label },
  ];

  test.each(["two words", 'quo"te', "ä", "a|b", ""])("%j: plain volumes only", async (label) => {
    const on = await start({ pools: labelled(label) });
    await refused(
      on,
      /^FAILED_PRECONDITION: pool storage-pool cannot hold volumes with the layout subvolume: its label is "/,
      () => calls.volume(on, { layout: "subvolume" }),
    );
    await calls.volume(on);
    expect([on.simulator.device.disk(SOURCE)?.filePath, subvolumesOf(on)]).toEqual([
      placeOf(SOURCE, "plain"),
      [],
    ]);
    await calls.delete(on, SOURCE);
  });

  test("letters, digits and `._:@+-` are all that a name needs", async () => {
    const on = await prepared({ pools: labelled("A.b_c:1@d+e-f") });
    await calls.restore(on);
    for (const call of [
      () => calls.deleteSnapshot(on),
      () => calls.delete(on, CLONE),
      () => calls.delete(on, SOURCE),
    ])
      await call();
    expect([subvolumesOf(on), on.simulator.device.disks]).toEqual([[], []]);
  });

  test("one that two pools share: nothing is made, and nothing removed", async () => {
    const on = await prepared();
    await calls.restore(on);
    const twin = on.simulator.device.pool("usb1");
    const share = (label: string) => Object.assign(twin, { label });
    // As on a copy of the pool, made block by block.
    for (const path of subvolumesOf(on)) await addSubvolume(on, path.replace("storage-pool", "usb1"));
    share("storage-pool-fs");
    const shared =
      /^FAILED_PRECONDITION: the label storage-pool-fs of pool storage-pool is not that of exactly one Btrfs filesystem/;
    await refused(
      on,
      shared,
      () => createVolume(on, { name: "pvc-3" }),
      () => calls.clone(on, "pvc-3"),
      () => calls.delete(on, CLONE),
      () => calls.delete(on, SOURCE),
    );
    await refused(
      on,
      /^FAILED_PRECONDITION: /,
      () => calls.snapshot(on),
      () => calls.snapshot(on, "s2"),
      () => calls.restore(on, "pvc-3"),
      () => calls.deleteSnapshot(on),
    );
    share("usb1-fs");
    await calls.delete(on, CLONE);
    expect(subvolumesOf(on)).toContain(`usb1/csi/${CLONE}`);
  });
});
