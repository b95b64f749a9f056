import { beforeEach, expect, test } from "bun:test";
import { FILE_LAYOUTS, leaveFile, placeOf, stored } from "../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { BRISK_CLOCK, LAYOUT, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { failure, isFailure } from "../domain/errors/driver-error.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { findOrphans } from "../inspect/find-orphans.ts";
import type { Orphan } from "../inspect/orphan.ts";
import type { NamedSnapshot, NamedVolume } from "../kubernetes/storage-names.ts";
import { keptBecause, type OrphanRemoval, removeOrphan } from "./remove-orphan.ts";

// What changes between two steps of one removal: the look, the look for the disk item, the last question, the deletion.

const open = useStack();
const DAYS_AHEAD = 10 * 86_400_000;
const FILE = volumeIdFromName("file");
let on: Stack;
let id: VolumeId;
let volumes: NamedVolume[];
let snapshots: NamedSnapshot[] | undefined;
let aheadMs: number;
beforeEach(async () => {
  aheadMs = 0;
  [volumes, snapshots] = [[], []];
  const clock = { ...BRISK_CLOCK, now: () => Date.now() + aheadMs };
  on = await open({ simulatorClock: clock });
  ({ id } = await createVolume(on, { name: "left" }));
  await on.snapshots.create({ name: "s", source: id, parameters: {}, signal: on.signal });
  await leaveFile(on, FILE, "plain", { size: MIB });
  aheadMs = DAYS_AHEAD;
});

const look = (): Promise<readonly Orphan[]> =>
  findOrphans({
    ...{ rds: on.rds, layout: LAYOUT, clusterId: "test", clock: { now: () => Date.now() + aheadMs } },
    names: { volumes: async () => volumes, snapshots: async () => snapshots },
    reader: { volumeAttachments: async () => [] },
    ...{ forRds: on.signal, forCluster: on.signal },
  });
const planned = async (kind: Orphan["kind"]): Promise<Orphan> => {
  const found = (await look()).find((each) => each.kind === kind);
  if (found === undefined) throw new Error(`no ${kind}`);
  return found;
};

/** Removes an orphan. @returns `deleted`, or why it was kept. @param over hooks between the steps */
async function remove(orphan: Orphan, over: Partial<OrphanRemoval> = {}): Promise<string> {
  const names = { volumes: async () => volumes, snapshots: async () => snapshots };
  const removal = { rds: on.rds, layout: LAYOUT, names, clock: BRISK_CLOCK, look };
  try {
    await removeOrphan({ ...removal, forRds: on.signal, forCluster: on.signal, ...over }, orphan);
    return "deleted";
  } catch (error) {
    if (!isFailure(error, "orphanKept")) throw error;
    return keptBecause(error);
  }
}

/** A look behind which something happens. */
const lookThen = (change: () => unknown): Pick<OrphanRemoval, "look"> => ({
  look: async () => {
    const found = await look();
    await change();
    return found;
  },
});
const unchanged = async (work: () => Promise<string>): Promise<string> => {
  const before = stored(on.simulator);
  const said = await work();
  expect(stored(on.simulator)).toEqual(before);
  return said;
};

test("as planned each kind is deleted", async () => {
  for (const kind of ["disk", "file", "snapshot"] as const)
    expect(await remove(await planned(kind))).toBe("deleted");
  expect(await look()).toEqual([]);
});

test.each(["disk", "file"] as const)("a PersistentVolume behind the last look keeps the %s", async (kind) => {
  const orphan = await planned(kind);
  const appears = lookThen(() => volumes.push({ name: "late", driver: "x", handle: orphan.name }));
  expect(await unchanged(() => remove(orphan, appears))).toBe("PersistentVolume late names it now");
});

test("a VolumeSnapshotContent behind the last look keeps the snapshot, by handle or id; so do CRDs that are gone", async () => {
  const orphan = await planned("snapshot");
  for (const handle of [orphan.name, orphan.name.replace(/\..*/, "")]) {
    snapshots = [];
    const appears = lookThen(() => {
      snapshots = [{ name: "late", handles: ["x", handle], volume: undefined }];
    });
    expect(await unchanged(() => remove(orphan, appears))).toBe("VolumeSnapshotContent late names it now");
  }
  snapshots = [];
  const gone = lookThen(() => {
    snapshots = undefined;
  });
  expect(await unchanged(() => remove(orphan, gone))).toBe("the cluster serves no VolumeSnapshots");
});

test("what speaks against it at the last look keeps it, though the plan had it", async () => {
  const orphan = await planned("disk");
  const against = async () => [{ ...orphan, deletable: "no" as const, why: "of a reason" }];
  expect(await unchanged(() => remove(orphan, { look: against }))).toBe("of a reason");
  const gap = async () => [{ ...orphan, why: "name it" }];
  const proven = { ...orphan, deletable: "yes" as const };
  expect(await unchanged(() => remove(proven, { look: gap }))).toBe("name it");
  const other = async () => [{ ...orphan, comment: "another" }];
  expect(await unchanged(() => remove(orphan, { look: other }))).toBe("its record is another one");
});

test.each(FILE_LAYOUTS)(
  "a disk item that somebody removes behind the last look leaves its file, layout %s",
  async (layout) => {
    const { id: other } = await createVolume(on, { name: "other", parameters: { layout } });
    aheadMs += DAYS_AHEAD;
    const orphan = (await look()).find(({ name }) => name === other);
    if (orphan === undefined) throw new Error("it is no orphan");
    const said = await remove(
      orphan,
      lookThen(() => on.simulator.device.removeDisk(other)),
    );
    expect(said).toBe("its disk item is gone");
    expect(on.simulator.device.file(placeOf(other, layout))).toBeDefined();
  },
);

test("an export behind the last look keeps the disk; a disk item on the file keeps the file", async () => {
  const disk = await planned("disk");
  const exported = lookThen(() => on.simulator.device.setDisk(id, { "nvme-tcp-export": true }));
  expect(await remove(disk, exported)).toBe("it is exported");
  expect(on.simulator.device.disk(id)).toBeDefined();
  const file = await planned("file");
  const added = lookThen(() => createVolumeOn(FILE));
  expect(await remove(file, added)).toBe("it has a disk item now");
  expect(on.simulator.device.file(placeOf(FILE, "plain"))).toBeDefined();
});
const createVolumeOn = (slot: VolumeId) =>
  on.simulator.device.addForeignDisk({ slot, path: `storage-pool/elsewhere/${slot}.img`, size: MIB });

test("a file that was moved meanwhile is another one", async () => {
  const orphan = await planned("file");
  const { device } = on.simulator;
  const moved = lookThen(async () => {
    const entry = device.file(placeOf(FILE, "plain"));
    if (entry !== undefined) await device.fileStore.remove(entry);
    await leaveFile(on, FILE, "subvolume", { size: MIB });
  });
  expect(await remove(orphan, moved)).toBe("it was changed meanwhile");
  expect(device.file(placeOf(FILE, "subvolume"))).toBeDefined();
});

test("a look that fails ends it without a deletion, however often it is tried", async () => {
  const orphan = await planned("disk");
  let looks = 0;
  const silent = async () => {
    looks += 1;
    throw Object.assign(new Error("silent"), { looks });
  };
  const before = stored(on.simulator);
  await expect(remove(orphan, { look: silent })).rejects.toThrow("silent");
  expect([looks, stored(on.simulator)]).toEqual([1, before]);
});

test("a deletion whose result stays unknown is not called one that was not made", async () => {
  const orphan = await planned("file");
  const { faults } = on.simulator;
  const rule = faults.cutAfter({ line: /[/]file[/]remove/, count: Number.POSITIVE_INFINITY });
  const wall = async () => {
    if (rule.hits > 0) throw failure("rdsUnreachable", { address: "rds", reason: "it is gone" });
    return look();
  };
  expect(await remove(orphan, { look: wall })).toBe(
    "a deletion was sent, and its result is not known: the RDS at rds is not reachable over SSH: it is gone; repeat the command",
  );
  expect(on.simulator.device.file(placeOf(FILE, "plain"))).toBeUndefined();
});
