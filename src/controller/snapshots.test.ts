import { describe, expect, test } from "bun:test";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import { MIB } from "../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { create, ID } from "./calls.fixture.ts";
import { handleOn } from "./snapshots.fixture.ts";

const start = useStack();

describe("snapshots", () => {
  test("a snapshot outlives its source, and a clone outlives both", async () => {
    const on = await start();
    await create(on);
    const request = { name: "s1", source: ID, parameters: {}, signal: on.signal };
    const made = await on.snapshots.create(request);
    expect(made).toMatchObject({ id: handleOn("s1"), source: ID, sizeBytes: 8n * MIB });
    expect(await on.snapshots.create(request)).toEqual(made);
    const all = { after: "", most: 0, signal: on.signal } as const;
    expect((await on.snapshots.list(all)).entries).toEqual([made]);
    const clone = await createVolume(on, {
      name: "pvc-2",
      required: 16n * MIB,
      source: { kind: "snapshot", id: made.id },
    });
    expect(clone).toEqual({
      id: volumeIdFromName("pvc-2"),
      sizeBytes: 16n * MIB,
      nodes: [],
      source: made.id,
    });
    await on.volumes.delete(ID, on.signal);
    expect(await on.snapshots.create(request)).toEqual(made);
    await on.snapshots.delete(made.id, on.signal);
    expect(await outcome(on.snapshots.create(request))).toStartWith("NOT_FOUND");
    await on.volumes.delete(clone.id, on.signal);
    const left = on.simulator.device.subvolumes.filter(({ deadUntil }) => deadUntil === undefined);
    expect([on.simulator.device.disks, left]).toEqual([[], []]);
  });
});
