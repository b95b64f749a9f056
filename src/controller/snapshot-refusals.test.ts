import { describe, expect, test } from "bun:test";
import { addSubvolume, fileOf, noneDead, placeOf } from "../../test/support/file-layouts.ts";
import { createVolume, outcome, untilDone } from "../../test/support/own-stack.ts";
import { type ControllerStack, GIB, MIB, MOUNT, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import type { Capability } from "../domain/access-mode.ts";
import { encodeSnapshotName, type SnapshotRecord } from "../domain/record/snapshot-record.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { publish } from "./calls.fixture.ts";
import {
  CLONE,
  calls,
  handleOn,
  looks,
  refused,
  SIZE,
  SNAPSHOT,
  SNAPSHOT_ID,
  SOURCE,
  snapshotsOf,
  stateOf,
  textOfSnapshot,
  useSnapshots,
  write,
} from "./snapshots.fixture.ts";

const MISSING = volumeIdFromName("never");

const { start, prepared } = useSnapshots();

const RECORD: SnapshotRecord = {
  id: SNAPSHOT_ID,
  source: SOURCE,
  sizeBytes: SIZE,
  filesystem: undefined,
  cluster: "test",
  createdNs: 1_700_000_000_000_000_000n,
};

describe("a snapshot that is there", () => {
  test("is returned for its source, also below the reserve, and refused for another one", async () => {
    const on = await prepared();
    const made = await calls.snapshot(on);
    await createVolume(on, { name: "pvc-3", required: SIZE });
    await refused(
      on,
      `ALREADY_EXISTS: a snapshot with name "s1" exists already: it is of volume ${SOURCE}, asked for is one of ${volumeIdFromName("pvc-3")}`,
      () => calls.snapshot(on, "s1", volumeIdFromName("pvc-3")),
    );
    const { device } = on.simulator;
    await device.addFile("storage-pool/others", device.freeBytes("storage-pool") - GIB + 1n);
    await refused(
      on,
      "RESOURCE_EXHAUSTED: pool storage-pool has 1023.9Mi free, less than the reserve of 1Gi: a snapshot keeps the space of all data that is overwritten later",
      () => calls.snapshot(on, "s2"),
    );
    expect(await calls.snapshot(on)).toEqual(made);
  });

  test("keeps nobody from deleting its source, and is returned for it even then", async () => {
    const on = await prepared();
    const made = await calls.snapshot(on);
    await calls.delete(on, SOURCE);
    expect(await calls.snapshot(on)).toEqual(made);
    await refused(on, `NOT_FOUND: volume ${SOURCE} does not exist on the RDS`, () =>
      calls.snapshot(on, "s2"),
    );
  });
});

test("what is not there: NOT_FOUND, and deleted already", async () => {
  const on = await start();
  await createVolume(on, { name: "pvc-3" });
  await refused(
    on,
    `NOT_FOUND: volume ${MISSING} does not exist on the RDS`,
    () => calls.snapshot(on, "s1", MISSING),
    () => calls.clone(on, "pvc-2", MISSING),
  );
  await refused(on, `NOT_FOUND: snapshot ${SNAPSHOT} does not exist on the RDS`, ...looks(on));
  await refused(on, "OK", () => calls.deleteSnapshot(on));
});

describe("a subvolume with the name of the snapshot that is not ours", () => {
  const other = encodeSnapshotName({ ...RECORD, cluster: "other" });
  const ours = encodeSnapshotName(RECORD);
  test.each<[string, readonly [name: string, readOnly: boolean][], string]>([
    ["of another cluster", [[`csi/${other}`, true]], "it belongs to cluster other"],
    ["whose record cannot be read", [[`csi/${SNAPSHOT_ID}.2.x`, true]], "its name cannot be read"],
    [
      "that may have been written to",
      [[`csi/${ours}`, false]],
      "its subvolume is not read-only, so it may have changed since the cut",
    ],
    [
      "beside a second one",
      [
        [`csi/${ours}`, true],
        [`backup/${ours}`, true],
      ],
      "2 subvolumes have its id",
    ],
  ])("%s: never read, never returned, never removed", async (_, subvolumes, reason) => {
    const on = await start();
    await calls.volume(on);
    for (const [name, readOnly] of subvolumes)
      await addSubvolume(on, `storage-pool/${name}`, { from: placeOf(SOURCE, "subvolume"), readOnly });
    await refused(
      on,
      `FAILED_PRECONDITION: snapshot ${SNAPSHOT_ID} on the RDS is not one of this installation: ${reason}`,
      () => calls.snapshot(on),
      () => calls.deleteSnapshot(on),
      ...looks(on),
    );
  });

  test("of another cluster is in no list", async () => {
    const on = await prepared();
    const theirs = encodeSnapshotName({ ...RECORD, id: snapshotIdFromName("s2"), cluster: "other" });
    await addSubvolume(on, `storage-pool/csi/${theirs}`, { readOnly: true });
    const { entries } = await on.snapshots.list({ after: "", most: 0, signal: on.signal });
    expect(entries.map(({ id }) => id)).toEqual([SNAPSHOT]);
  });
});

test("a source that goes between the look and the change: nothing is made, and the repeated call says so", async () => {
  for (const [call, remove, answer] of [
    [calls.restore, calls.deleteSnapshot, `NOT_FOUND: snapshot ${SNAPSHOT} does not exist on the RDS`],
    [
      calls.clone,
      (on: Stack) => calls.delete(on, SOURCE),
      `NOT_FOUND: volume ${SOURCE} does not exist on the RDS`,
    ],
    [
      (on: Stack) => calls.snapshot(on, "s2"),
      (on: Stack) => calls.delete(on, SOURCE),
      `NOT_FOUND: volume ${SOURCE} does not exist on the RDS`,
    ],
  ] as const) {
    for (const profile of ["current", "hostile", "strict"] as const) {
      const on = await prepared({ profile });
      const { faults } = on.simulator;
      faults.hang({ line: /\/subvolume\/add/ });
      const asked = call as (on: ControllerStack) => Promise<unknown>;
      const given = outcome(asked(on.controller()));
      await until("the line is held", () => faults.hanging > 0);
      await remove(on);
      const before = await stateOf(on);
      faults.release();
      expect(await given).toStartWith("UNAVAILABLE: ");
      expect(await outcome(asked(on))).toBe(answer);
      expect(await stateOf(on)).toEqual(before);
    }
  }
});

test("a device that takes the last part of a source's name: nothing is made while another subvolume has it", async () => {
  const on = await start({ switches: { snapshotParent: "name" } });
  const decoy = `storage-pool/backup/${SOURCE}`;
  await addSubvolume(on, decoy);
  await calls.volume(on);
  await refused(
    on,
    /^UNAVAILABLE: .* is the name of another subvolume, too/,
    () => calls.snapshot(on),
    () => calls.clone(on),
  );
  const { subvolumeStore } = on.simulator.device;
  const [item] = subvolumeStore.items.filter((each) => subvolumeStore.directory(each) === decoy);
  if (item !== undefined) await subvolumeStore.remove(item);
  await write(on, SOURCE, "right");
  await untilDone(() => calls.snapshot(on));
  expect(await textOfSnapshot(on, 5)).toBe("right");
});

test("a device that takes the last part of a source's name: another subvolume with it is not taken for one that goes", async () => {
  const on = await prepared({ switches: { snapshotParent: "name" } });
  const { device, faults } = on.simulator;
  faults.hang({ line: /\/subvolume\/add/ });
  const given = outcome(calls.clone(on.controller()));
  await until("the line is held", () => faults.hanging > 0);
  await calls.delete(on, SOURCE);
  await noneDead(on);
  const decoy = `storage-pool/backup/${SOURCE}`;
  await addSubvolume(on, decoy);
  await device.addFile(fileOf(SOURCE, "subvolume").replace(placeOf(SOURCE, "subvolume"), decoy), SIZE);
  const before = await stateOf(on);
  faults.release();
  expect(await given).toStartWith("UNAVAILABLE: ");
  expect(await stateOf(on)).toEqual(before);
});

describe("a source that cannot be one", () => {
  const both = (on: Stack) => [() => calls.snapshot(on), () => calls.clone(on)];

  test("a volume with the layout plain", async () => {
    const on = await start();
    await calls.volume(on, { layout: "plain" });
    await refused(
      on,
      `FAILED_PRECONDITION: volume ${SOURCE} has the layout plain: its file is in no Btrfs subvolume of its own, so it cannot be snapshotted or cloned`,
      ...both(on),
    );
  });

  test("a disk of another cluster, of nobody, and one whose record cannot be read", async () => {
    const on = await start();
    const path = `${placeOf(SOURCE, "subvolume")}/disk.img`;
    const put = (comment: string) =>
      on.simulator.device.addForeignDisk({ slot: SOURCE, path, size: MIB, comment });
    await put("rds1;n=pvc-1;c=other;t=1");
    await refused(on, `NOT_FOUND: volume ${SOURCE} does not exist on the RDS`, ...both(on));
    await on.simulator.device.setDisk(SOURCE, { comment: "" });
    await refused(on, /^FAILED_PRECONDITION: disk .* is not managed by this driver/, ...both(on));
    await on.simulator.device.setDisk(SOURCE, { comment: "rds1;n=pvc-1" });
    await refused(on, /^FAILED_PRECONDITION: the record of volume .* cannot be used/, ...both(on));
  });
});

describe("a volume from a source", () => {
  for (const kind of ["snapshot", "volume"] as const) {
    const source = kind === "snapshot" ? { kind, id: SNAPSHOT } : { kind, id: SOURCE };
    const name = `${kind} ${source.id}`;
    const make = (on: Stack, wish: Partial<Parameters<typeof createVolume>[1]> = {}) =>
      createVolume(on, { name: "pvc-2", required: SIZE, source, ...wish });

    test(`${kind}: has its size where none is asked for, and is refused when smaller`, async () => {
      const on = await prepared();
      await refused(on, `OUT_OF_RANGE: ${name} has ${SIZE} bytes: required_bytes is ${SIZE - MIB}`, () =>
        make(on, { required: SIZE - MIB }),
      );
      await refused(on, `OUT_OF_RANGE: ${name} has ${SIZE} bytes: limit_bytes is ${SIZE - 1n}`, () =>
        make(on, { required: 0n, limit: SIZE - 1n }),
      );
      expect((await make(on, { required: 0n })).sizeBytes).toBe(SIZE);
    });

    test(`${kind}: is on the pool of its source, and refused on another one, and with the layout plain`, async () => {
      const on = await prepared({}, { pool: "usb1" });
      const source = kind === "snapshot" ? { kind, id: handleOn("s1", "usb1") } : { kind, id: SOURCE };
      const name = `${kind} ${source.id}`;
      const make = (on: Stack, wish: Partial<Parameters<typeof createVolume>[1]> = {}) =>
        createVolume(on, { name: "pvc-2", required: SIZE, source, ...wish });
      await refused(
        on,
        `INVALID_ARGUMENT: ${name} is on pool usb1, and the StorageClass asks for pool storage-pool: a copy that shares blocks stays on its pool`,
        () => make(on, { parameters: { pool: "storage-pool" } }),
      );
      await refused(
        on,
        `INVALID_ARGUMENT: a volume from ${name} shares its blocks, so it cannot have the layout plain`,
        () => make(on, { parameters: { layout: "plain" } }),
      );
      const made = await make(on);
      expect(on.simulator.device.disk(CLONE)?.filePath).toBe(`usb1/csi/${CLONE}/disk.img`);
      for (const parameters of [{}, { pool: "usb1" }, { layout: "subvolume" }])
        expect(await make(on, { parameters })).toEqual(made);
      expect(await outcome(make(on, { parameters: { pool: "storage-pool" } }))).toStartWith(
        "ALREADY_EXISTS: ",
      );
    });

    test(`${kind}: is refused with another filesystem than its source holds`, async () => {
      const on = await start();
      const mount = (fsType: string): Capability => ({ ...MOUNT, fsType });
      const required = 512n * MIB;
      await createVolume(on, { required, capabilities: [mount("ext4")] });
      await publish(on, SOURCE, "node-a", { capability: mount("ext4") });
      await calls.snapshot(on);
      await refused(on, `INVALID_ARGUMENT: ${name} holds ext4, and xfs is asked for`, () =>
        make(on, { required, capabilities: [mount("xfs")] }),
      );
      expect(await outcome(make(on, { required, capabilities: [mount("ext4")] }))).toBe("OK");
      expect(await outcome(make(on, { name: "pvc-3", required, capabilities: [mount("")] }))).toBe("OK");
    });

    test(`${kind}: is not one that is blank, or from another source`, async () => {
      const on = await prepared();
      await createVolume(on, { name: "pvc-3", required: SIZE });
      const prefix = 'ALREADY_EXISTS: a volume with name "pvc-3" exists with other properties: ';
      await refused(on, `${prefix}it was made blank, asked for is a volume made from ${source.id}`, () =>
        make(on, { name: "pvc-3" }),
      );
      await make(on);
      const another =
        kind === "volume"
          ? ({ kind: "snapshot", id: SNAPSHOT } as const)
          : ({ kind: "volume", id: SOURCE } as const);
      for (const [wish, text] of [
        [{ source: another }, another.id],
        [{ source: undefined }, "blank"],
      ] as const)
        expect(await outcome(make(on, wish))).toEndWith(
          `it was made from ${source.id}, asked for is a volume made ${text === "blank" ? text : `from ${text}`}`,
        );
    });

    test(`${kind}: does not fit into its pool`, async () => {
      const on = await prepared();
      await refused(
        on,
        /^(RESOURCE_EXHAUSTED|OUT_OF_RANGE): /,
        () => make(on, { required: 64n * GIB }),
        () => make(on, { required: 63n * GIB }),
      );
    });
  }
});

test("parameters of a VolumeSnapshotClass: those of the sidecar are taken, any other is refused", async () => {
  const on = await prepared();
  const cut = (parameters: Record<string, string>) => () =>
    on.snapshots.create({ name: "s2", source: SOURCE, parameters, signal: on.signal });
  await refused(
    on,
    'INVALID_ARGUMENT: VolumeSnapshotClass parameter "pool" is unknown: there are no parameters',
    cut({ pool: "usb1" }),
  );
  await cut({
    "csi.storage.k8s.io/volumesnapshot/name": "s2",
    "csi.storage.k8s.io/volumesnapshot/namespace": "x",
  })();
  expect(snapshotsOf(on)).toHaveLength(2);
});
