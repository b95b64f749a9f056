import { afterAll, describe, expect, test } from "bun:test";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { api, cluster, diskOf, growsExt4, Scope } from "./world.ts";

const SNAPSHOT = "VolumeSnapshot" as const;
const namespace = "snapshots";

// Before the end of the scope, whose volumes snapshots may keep.
afterAll(async () => {
  for (const { metadata } of await api.list(SNAPSHOT, namespace)) {
    await api.delete(SNAPSHOT, metadata.name, namespace);
    await api.awaitGone(SNAPSHOT, metadata.name, namespace);
  }
}, 120_000);

const scope = new Scope(namespace);

/** Makes a VolumeSnapshot and waits until it is ready. @returns it */
async function snapshot(name: string, claim: string): Promise<Thing> {
  await api.apply({
    apiVersion: "snapshot.storage.k8s.io/v1",
    kind: SNAPSHOT,
    metadata: { name, namespace },
    spec: { volumeSnapshotClassName: "rds", source: { persistentVolumeClaimName: claim } },
  });
  return await api.await(SNAPSHOT, name, namespace, "ready", ({ status }) => status?.readyToUse === true);
}

async function dropSnapshot(name: string): Promise<void> {
  const { status } = await api.get(SNAPSHOT, name, namespace);
  await api.delete(SNAPSHOT, name, namespace);
  await api.awaitGone("VolumeSnapshotContent", status.boundVolumeSnapshotContentName);
  await api.awaitGone(SNAPSHOT, name, namespace);
}

/** A snapshot with this handle on the RDS. */
async function isOnRds(handle: string): Promise<boolean> {
  const { files } = await cluster.rds.state();
  const [id] = handle.split(".", 1);
  return files.some(({ path }: Thing) => path.includes(`/${id}.`));
}

/** Writes numbered records, from one number to another; each is on the device when the command ends. */
const records = (from: number, to: number) => `seq ${from} ${to} >> /data/records; sync /data/records`;

describe.concurrent("snapshots", () => {
  // The simulated RDS copies at one instant only where its own filesystem has reflinks: nothing is written during the cut.
  test("of a mounted volume: restored larger, with what was written before the cut, after the source is gone", async () => {
    await scope.claim("source");
    await scope.pod("writer", { claims: ["source"], node: NODES[0] });
    await scope.ready("writer");
    await scope.shell("writer", records(1, 500));
    const { metadata, status } = await snapshot("cut", "source");
    await scope.shell("writer", records(501, 600));
    expect(status.restoreSize).toBe("64Mi");
    const cutAfterMs = Date.parse(status.creationTime) - Date.parse(metadata.creationTimestamp);
    expect([cutAfterMs > -2_000, cutAfterMs < 60_000]).toEqual([true, true]);
    const { status: content } = await api.get("VolumeSnapshotContent", status.boundVolumeSnapshotContentName);
    expect(content.snapshotHandle).toMatch(/^snap-[0-9a-f]{28}[.][A-Za-z0-9-]+$/);

    // XFS grows under every user; ext4 needs CAP_SYS_RESOURCE while it is mounted, and grows before it is.
    await scope.claim("restored", { size: "128Mi", source: { kind: SNAPSHOT, name: "cut" } });
    await scope.pod("reader", { claims: ["restored"], node: NODES[0] });
    await scope.ready("reader");
    expect(await scope.shell("reader", "seq 1 500 | cmp - /data/records && echo same")).toBe("same");
    if (growsExt4)
      expect(Number(await scope.shell("reader", "df -m /data | awk 'END { print $2 }'"))).toBeGreaterThan(90);
    await scope.remove("writer");
    await scope.drop("source");
    expect(await isOnRds(content.snapshotHandle)).toBe(true);
    await dropSnapshot("cut");
    expect(await isOnRds(content.snapshotHandle)).toBe(false);
    await scope.shell("reader", "echo x > /data/own; sync");
    const volume = await scope.bound("restored");
    await scope.remove("reader");
    await scope.drop("restored");
    expect(await diskOf(volume)).toBeUndefined();
  });

  test("a clone of a claim and its source diverge, both mounted on one node", async () => {
    await scope.claim("first");
    await scope.pod("first", { claims: ["first"], node: NODES[1] });
    await scope.ready("first");
    await scope.shell("first", "echo both > /data/both; sync");
    await scope.claim("second", { source: { kind: "PersistentVolumeClaim", name: "first" } });
    await scope.pod("second", { claims: ["second"], node: NODES[1] });
    await scope.ready("second");
    await scope.shell("first", "echo a > /data/a; sync");
    await scope.shell("second", "echo b > /data/b; sync");
    expect(await scope.shell("first", "ls /data | grep -v lost; cat /data/both")).toBe("a\nboth\nboth");
    expect(await scope.shell("second", "ls /data | grep -v lost; cat /data/both")).toBe("b\nboth\nboth");
    await scope.remove("first", "second");
    await scope.drop("first");
    await scope.drop("second");
  });

  test("a block volume, and a claim that is smaller than its snapshot", async () => {
    const storageClass = await scope.storageClass("vm", { layout: "subvolume" });
    await scope.claim("block", { block: true, mode: "ReadWriteMany", storageClass });
    await scope.pod("block", { claims: ["block"], block: true, node: NODES[0] });
    await scope.ready("block");
    await scope.shell("block", "dd if=/dev/urandom of=/dev/vol bs=1M count=8 2>/dev/null; sync");
    const read = "dd if=/dev/vol bs=1M count=8 2>/dev/null | sha256sum";
    const sum = await scope.shell("block", read);
    await snapshot("block", "block");
    const source = { kind: SNAPSHOT, name: "block" } as const;
    await scope.claim("small", { block: true, size: "32Mi", source });
    await scope.event("PersistentVolumeClaim", "small", "ProvisioningFailed", /32Mi|33554432|smaller|size/);
    await scope.drop("small");
    await scope.claim("copy", { block: true, mode: "ReadWriteMany", storageClass, source });
    await scope.pod("copy", { claims: ["copy"], block: true, node: NODES[1] });
    await scope.ready("copy");
    expect(await scope.shell("copy", read)).toBe(sum);
    await scope.remove("block", "copy");
    await dropSnapshot("block");
    for (const name of ["block", "copy"]) await scope.drop(name);
  });
});
