import { describe, expect, test } from "bun:test";
import { addSubvolume, placeOf, subvolumesOf } from "../../test/support/file-layouts.ts";
import { createVolume, outcome } from "../../test/support/own-stack.ts";
import { GIB, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { snapshotHandle } from "../domain/snapshot-id.ts";
import {
  CLONE,
  calls,
  handleOn,
  looks,
  refused,
  SNAPSHOT,
  SNAPSHOT_ID,
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
    const id = handleOn("s1", "usb1");
    const unknown = `UNAVAILABLE: whether snapshot ${id} exists is not known: pool "usb1-fs", which may hold it, is not mounted on the RDS`;
    await refused(on, unknown, () => calls.deleteSnapshot(on, id), ...looks(on, id));
    await away(on, "usb1", true);
    for (const call of [() => calls.restore(on, "pvc-2", id), () => calls.deleteSnapshot(on, id)])
      await call();
    expect(snapshotsOf(on)).toEqual([]);
  });

  test("the default one: no snapshot is absent", async () => {
    const on = await prepared();
    await calls.delete(on, SOURCE);
    await away(on, "storage-pool");
    const unknown = new RegExp(
      `^UNAVAILABLE: whether snapshot (${SNAPSHOT}|${SNAPSHOT_ID}) exists is not known: pool "storage-pool(-fs)?", which may hold it, is not mounted on the RDS$`,
    );
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

  test("that has nothing but snapshots: none of them is absent", async () => {
    const on = await prepared({}, { pool: "usb1" });
    await calls.delete(on, SOURCE);
    await away(on, "usb1");
    const id = handleOn("s1", "usb1");
    const unknown = `UNAVAILABLE: whether snapshot ${id} exists is not known: pool "usb1-fs", which may hold it, is not mounted on the RDS`;
    await refused(on, unknown, () => calls.deleteSnapshot(on, id), ...looks(on, id));
    await away(on, "usb1", true);
    await calls.deleteSnapshot(on, id);
    expect(snapshotsOf(on)).toEqual([]);
  });

  test("behind another filesystem with its label: none of its snapshots is absent", async () => {
    const on = await prepared();
    await away(on, "storage-pool");
    Object.assign(on.simulator.device.pool("usb1"), { label: "storage-pool-fs", fs: "xfs" });
    await refused(
      on,
      `UNAVAILABLE: whether snapshot ${SNAPSHOT} exists is not known: pool "storage-pool-fs", which may hold it, is not mounted on the RDS`,
      () => calls.deleteSnapshot(on),
      () => on.snapshots.get(SNAPSHOT, on.signal),
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
    await refused(on, /^NOT_FOUND: /, () => on.snapshots.get(handleOn("s2"), on.signal));
    for (const call of [
      () => calls.restore(on),
      () => calls.deleteSnapshot(on),
      () => calls.deleteSnapshot(on),
    ])
      await call();
    expect(snapshotsOf(on)).toEqual([]);
  });
});

describe("a copy of a snapshot in another filesystem, in a folder of the same name", () => {
  /** As `btrfs receive` leaves it. */
  const copied = async (on: Stack) => {
    const [path = ""] = snapshotsOf(on);
    await addSubvolume(on, path.replace("storage-pool", "usb1"), { readOnly: true });
    return path;
  };
  const copy = handleOn("s1", "usb1");

  test("stays when the snapshot is deleted, and when it was deleted already", async () => {
    const on = await prepared();
    const path = await copied(on);
    const made = await calls.snapshot(on);
    expect(made.id).toBe(SNAPSHOT);
    const { entries } = await on.snapshots.list({ after: "", most: 0, signal: on.signal });
    expect(entries.map(({ id }) => id)).toEqual([SNAPSHOT, copy]);
    const behind = await on.snapshots.list({ after: SNAPSHOT, most: 0, signal: on.signal });
    expect(behind.entries.map(({ id }) => id)).toEqual([copy]);
    await calls.restore(on);
    for (let times = 0; times < 2; times++) await calls.deleteSnapshot(on);
    expect(snapshotsOf(on)).toEqual([path.replace("storage-pool", "usb1")]);
    await refused(on, `NOT_FOUND: snapshot ${SNAPSHOT} does not exist on the RDS`, () =>
      on.snapshots.get(SNAPSHOT, on.signal),
    );
    await refused(
      on,
      `FAILED_PRECONDITION: snapshot ${SNAPSHOT_ID} on the RDS is not one of this installation: it is in filesystem usb1-fs, and its source in storage-pool-fs`,
      () => calls.snapshot(on),
    );
    await calls.deleteSnapshot(on, copy);
    expect(snapshotsOf(on)).toEqual([]);
  });

  test("is not taken for the snapshot while its pool is away", async () => {
    const on = await prepared();
    await copied(on);
    on.simulator.device.setPool("storage-pool", { mounted: false });
    await refused(
      on,
      `UNAVAILABLE: whether snapshot ${SNAPSHOT} exists is not known: pool "storage-pool-fs", which may hold it, is not mounted on the RDS`,
      () => calls.deleteSnapshot(on),
      () => on.snapshots.get(SNAPSHOT, on.signal),
    );
    expect((await on.snapshots.get(copy, on.signal)).id).toBe(copy);
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
    const id = snapshotHandle(SNAPSHOT_ID, "A.b_c:1@d+e-f");
    await calls.restore(on, "pvc-2", id);
    for (const call of [
      () => calls.deleteSnapshot(on, id),
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
    // Nobody knows which of both would have it.
    await refused(
      on,
      shared,
      () => on.snapshots.get(handleOn("s9"), on.signal),
      () => calls.deleteSnapshot(on, handleOn("s9")),
    );
    share("usb1-fs");
    await calls.delete(on, CLONE);
    expect(subvolumesOf(on)).toContain(`usb1/csi/${CLONE}`);
  });
});
