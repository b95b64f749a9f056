import { describe, expect, test } from "bun:test";
import { outcome, useStack } from "../../test/support/own-stack.ts";
import { MIB } from "../../test/support/rds-stack.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { create, ID } from "./calls.fixture.ts";

const start = useStack();

describe("snapshots", () => {
  test("snapshot, restore, delete", async () => {
    const on = await start();
    await create(on);
    console.log(on.commandsSince());
    const request = { name: "s1", source: ID, parameters: {}, signal: on.signal };
    const made = await on.snapshots.create(request);
    console.log(on.commandsSince());
    console.log(made);
    expect(await on.snapshots.create(request)).toEqual(made);
    expect((await on.snapshots.list({ after: "", most: 0, signal: on.signal })).entries).toEqual([made]);
    on.commandsSince();
    const clone = await on.volumes.create({
      name: "pvc-2",
      range: { requiredBytes: 16n * MIB, limitBytes: 0n },
      capabilities: [{ accessMode: "SINGLE_NODE_WRITER", accessType: "block", fsType: "", mountFlags: [] }],
      parameters: {},
      mutableParameters: {},
      source: { kind: "snapshot", id: made.id },
      signal: on.signal,
    });
    console.log(clone, on.commandsSince());
    await on.volumes.delete(ID, on.signal);
    await on.snapshots.delete(made.id, on.signal);
    console.log(on.commandsSince());
    await on.volumes.delete(volumeIdFromName("pvc-2"), on.signal);
    console.log(on.simulator.device.disks, on.simulator.device.subvolumes);
  });
});
