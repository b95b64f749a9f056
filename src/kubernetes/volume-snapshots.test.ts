import { describe, expect, test } from "bun:test";
import { BUILT_IN } from "../../test/support/kubernetes/fake-api-server.ts";
import { forever, volumeSnapshot } from "../../test/support/kubernetes/world.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import { client, useWorld, world } from "./reader.fixture.ts";

useWorld();

const apply = (objects: readonly object[]): void => {
  for (const object of objects) world.api.apply(object);
};
const HANDLE = "snap-0123456789abcdef0123456789ab";

describe("VolumeSnapshotContents", () => {
  test("those of this driver, with handle and VolumeSnapshot", async () => {
    apply(volumeSnapshot("a", HANDLE));
    apply(volumeSnapshot("b", "s-1", { driver: "other.example.org" }));
    expect(await client.snapshots.contents(forever)).toEqual([
      {
        name: "snapcontent-a",
        handle: HANDLE,
        volume: "csi-1",
        snapshot: { namespace: "vms", name: "a" },
        policy: "Delete",
        ready: true,
        deleting: false,
        restoreBytes: 1n << 20n,
        error: undefined,
      },
    ]);
    expect(await client.snapshots.isOurContent("snapcontent-a", forever)).toBe(true);
    expect(await client.snapshots.isOurContent("snapcontent-b", forever)).toBe(false);
    expect(await client.snapshots.isOurContent("snapcontent-c", forever)).toBeUndefined();
    expect(await client.snapshots.isOurContent("..", forever)).toBeUndefined();
  });

  test("the handle of one that shows none yet is that of its snapshot's name", async () => {
    apply(volumeSnapshot("a", "", { ready: false }));
    const [content] = (await client.snapshots.contents(forever)) ?? [];
    expect(content).toMatchObject({ handle: snapshotIdFromName("snapshot-uid-vms-a"), ready: false });
  });

  test("a cluster without the CRDs has none; a right that is missing is no absence", async () => {
    world.api.rules = [];
    await expect(client.snapshots.contents(forever)).rejects.toThrow(/may not list volumesnapshotcontents/);
    world.api.rules = undefined;
    world.api.types.splice(0, Number.POSITIVE_INFINITY, ...BUILT_IN);
    expect(await client.snapshots.contents(forever)).toBeUndefined();
    expect(await client.snapshots.inNamespace("vms", undefined, forever)).toBeUndefined();
  });
});

describe("VolumeSnapshots", () => {
  test("of one namespace, by labels", async () => {
    const createdAt = "2026-03-01T10:00:00Z";
    const cutAt = "2026-03-01T10:00:03Z";
    apply(volumeSnapshot("a", HANDLE, { labels: { schedule: "nightly" }, createdAt, cutAt }));
    apply(volumeSnapshot("b", "s-2"));
    apply(volumeSnapshot("c", "s-3", { namespace: "shop", labels: { schedule: "nightly" } }));
    expect(await client.snapshots.inNamespace("vms", "schedule=nightly", forever)).toEqual([
      {
        ...{ namespace: "vms", name: "a", uid: "uid-vms-a", claim: "disk", content: "snapcontent-a" },
        ...{ ready: true, deleting: false, createdAt: Date.parse(createdAt), cutAt: Date.parse(cutAt) },
      },
    ]);
    expect(await client.snapshots.inNamespace("shop", undefined, forever)).toMatchObject([
      { name: "c", createdAt: expect.any(Number), cutAt: undefined },
    ]);
    expect(await client.snapshots.inNamespace("vms", undefined, forever)).toHaveLength(2);
    await expect(client.snapshots.inNamespace("../x", undefined, forever)).rejects.toThrow(/namespace/);
  });

  test("one is deleted by name and UID: one that was made anew is left alone", async () => {
    apply(volumeSnapshot("a", HANDLE));
    const named = { namespace: "vms", name: "a" };
    expect(await client.snapshots.delete({ ...named, uid: "uid-before" }, forever)).toBe("replaced");
    expect(world.api.list("VolumeSnapshot", "vms")).toHaveLength(1);
    expect(await client.snapshots.delete({ ...named, uid: "uid-vms-a" }, forever)).toBe("deleted");
    expect(world.api.list("VolumeSnapshot", "vms")).toEqual([]);
    expect(await client.snapshots.delete({ ...named, uid: "uid-vms-a" }, forever)).toBe("absent");
    world.api.rules = [];
    await expect(client.snapshots.delete({ ...named, uid: "uid-vms-a" }, forever)).rejects.toThrow(
      /may not delete volumesnapshots.snapshot.storage.k8s.io vms\/a/,
    );
  });
});
