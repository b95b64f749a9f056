import { expect, test } from "bun:test";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import type { Stack } from "../../test/support/rds-stack.ts";
import { encodeSnapshotName } from "../domain/record/snapshot-record.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { fill } from "../rds/many-disks.fixture.ts";
import { CLONE, calls, SNAPSHOT, SOURCE, snapshotsOf } from "./snapshots.fixture.ts";

const start = useStack();

/** Puts snapshots of other volumes onto the device, as they are after its start. */
function fillSnapshots({ simulator: { device } }: Stack, count: number): void {
  const { subvolumeStore, fileStore } = device;
  for (let at = 0; at < count; at++) {
    const name = encodeSnapshotName({
      id: snapshotIdFromName(`old-${at}`),
      source: volumeIdFromName(`old-${at % 7}`),
      sizeBytes: 1n << 30n,
      filesystem: undefined,
      cluster: "test",
      createdNs: 1_700_000_000_000_000_000n + BigInt(at),
    });
    const [id, fullname] = [0x10000 + at, `csi/${name}`];
    const path = `storage-pool/${fullname}`;
    fileStore.restore({ id, path, directory: true, size: 0n, charged: 0n, modified: 0 });
    subvolumeStore.restore({
      ...{ id, pool: "storage-pool", fullname, uuid: `${at}`, snapshot: true, readOnly: true },
      ...{ parent: "", created: 0, deadUntil: undefined },
    });
  }
}

const STEPS: readonly (readonly [string, number, (on: Stack) => Promise<unknown>])[] = [
  ["CreateVolume", 2, (on) => calls.volume(on)],
  ["CreateSnapshot", 2, (on) => calls.snapshot(on)],
  ["CreateSnapshot again", 2, (on) => calls.snapshot(on)],
  ["CreateVolume from the snapshot, larger", 3, (on) => calls.restore(on)],
  ["CreateVolume from the volume, larger", 3, (on) => calls.clone(on, "pvc-3")],
  ["CreateVolume from the volume again", 2, (on) => calls.clone(on, "pvc-3")],
  ["a snapshot by its handle", 1, (on) => on.snapshots.get(SNAPSHOT, on.signal)],
  [
    "the snapshots of one volume",
    1,
    (on) => on.snapshots.list({ source: SOURCE, after: "", most: 0, signal: on.signal }),
  ],
  ["DeleteSnapshot", 2, (on) => calls.deleteSnapshot(on)],
  ["DeleteSnapshot again", 1, (on) => calls.deleteSnapshot(on)],
  ["a snapshot that does not exist", 1, (on) => on.snapshots.get(SNAPSHOT, on.signal).catch(() => {})],
  ["CreateVolume from a snapshot that does not exist", 2, (on) => calls.restore(on, "pvc-4").catch(() => {})],
  [
    "CreateSnapshot of a volume that does not exist",
    4,
    (on) => calls.snapshot(on, "s3", CLONE_4).catch(() => {}),
  ],
  ["DeleteVolume of a clone", 2, (on) => calls.delete(on, CLONE)],
  ["DeleteVolume of the source", 2, (on) => calls.delete(on, SOURCE)],
];
const CLONE_4 = volumeIdFromName("pvc-4");

/** The commands and the bytes of the replies of each step. */
async function costs(volumes: number, snapshots: number): Promise<Map<string, [number, number]>> {
  const on = await start({ profile: "current" });
  await fill(
    on,
    Array.from({ length: volumes }, (_, at) => `old-${at}`),
  );
  fillSnapshots(on, snapshots);
  await on.rds.version(on.signal);
  // What a process learns once: the reply form, and where the pool is mounted.
  await on.rds.readPool("storage-pool", 0n, on.signal);
  const found = new Map<string, [number, number]>();
  for (const [step, , call] of STEPS) {
    const before = on.simulator.commands.length;
    await call(on);
    const sent = on.simulator.commands.slice(before);
    found.set(step, [sent.length, sent.reduce((sum, { output }) => sum + output.length, 0)]);
  }
  expect(snapshotsOf(on)).toHaveLength(snapshots);
  await on.close();
  return found;
}

test("snapshots and clones cost at most three RouterOS commands, and one more without their source, beside many volumes and snapshots as beside none", async () => {
  const few = await costs(0, 0);
  expect([...few].map(([step, [commands]]) => [step, commands])).toEqual(
    STEPS.map(([step, commands]) => [step, commands]),
  );
  const many = await costs(300, 500);
  for (const [step, [commands, bytes]] of many) {
    const [alone = 0, little = 0] = few.get(step) ?? [];
    expect([step, commands]).toEqual([step, alone]);
    expect([step, bytes < little + 1_000]).toEqual([step, true]);
  }
});

test("a list of 500 snapshots costs a command for each few hundred, and each is in it once, page by page", async () => {
  const on = await start({ profile: "current" });
  fillSnapshots(on, 500);
  await on.rds.version(on.signal);
  on.commandsSince();
  const { entries, isCut } = await on.snapshots.list({ after: "", most: 0, signal: on.signal });
  expect([entries.length, isCut]).toEqual([500, false]);
  expect(on.commandsSince().length).toBeLessThan(16);
  const ids: string[] = [];
  for (let after = ""; ; after = ids.at(-1) ?? "") {
    const page = await on.snapshots.list({ after, most: 120, signal: on.signal });
    ids.push(...page.entries.map(({ id }) => id));
    if (!page.isCut) break;
  }
  expect(ids).toEqual(entries.map(({ id }) => id));
  expect(new Set(ids).size).toBe(500);
});

test("volumes beside the snapshots cost as ever", async () => {
  const on = await start({ profile: "current" });
  fillSnapshots(on, 500);
  await on.rds.version(on.signal);
  await createVolume(on);
  on.commandsSince();
  await createVolume(on, { name: "pvc-9" });
  await on.volumes.delete(volumeIdFromName("pvc-9"), on.signal);
  expect(on.commandsSince()).toHaveLength(4);
});
