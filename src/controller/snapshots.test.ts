import { describe, expect, test } from "bun:test";
import { addSubvolume } from "../../test/support/file-layouts.ts";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import { MIB } from "../../test/support/rds-stack.ts";
import { partsOfHandle } from "../domain/snapshot-id.ts";
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

  test("are made, restored and deleted under another --directory than that of their source", async () => {
    const on = await start();
    await create(on);
    const later = on.controller({ directory: "tenants/new" });
    const cut = () => later.snapshots.create({ name: "s1", source: ID, parameters: {}, signal: on.signal });
    const made = await cut();
    for (const [name, source] of [
      ["pvc-2", { kind: "snapshot", id: made.id }],
      ["pvc-3", { kind: "volume", id: ID }],
    ] as const) {
      const clone = await createVolume(later, { name, required: 16n * MIB, source });
      const path = on.simulator.device.disk(clone.id)?.filePath;
      expect(path).toBe(`storage-pool/tenants/new/${clone.id}/disk.img`);
      await later.volumes.delete(clone.id, on.signal);
    }
    expect(await cut()).toEqual(made);
    await later.snapshots.delete(made.id, on.signal);
    expect((await later.snapshots.list({ after: "", most: 0, signal: on.signal })).entries).toEqual([]);
  });

  test("a list has those that a look by handle finds, and no other", async () => {
    const on = await start();
    await create(on);
    const [record] = await Promise.all(
      ["s1", "s2", "s3"].map((name) =>
        on.snapshots.create({ name, source: ID, parameters: {}, signal: on.signal }),
      ),
    );
    const { device } = on.simulator;
    const named = (name: string) =>
      device.subvolumes.find(({ fullname }) =>
        fullname.startsWith(`csi/${partsOfHandle(handleOn(name)).id}`),
      );
    const written = named("s2");
    Object.assign(written ?? {}, { readOnly: false });
    await addSubvolume(on, `storage-pool/backup/${named("s3")?.fullname.slice(4)}`, { readOnly: true });
    const { entries } = await on.snapshots.list({ after: "", most: 0, signal: on.signal });
    expect(entries).toEqual(record === undefined ? [] : [record]);
    for (const name of ["s2", "s3"])
      expect(await outcome(on.snapshots.get(handleOn(name), on.signal))).toStartWith("FAILED_PRECONDITION");
  });
});
