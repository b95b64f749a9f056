import { describe, expect, test } from "bun:test";
import type { Thing } from "./api.ts";
import { NODES } from "./cluster.ts";
import { until } from "./run.ts";
import { api, attachmentsOf, diskOf, Scope } from "./world.ts";

const scope = new Scope("claims");
const CLAIM = "PersistentVolumeClaim";

describe.concurrent("from a claim to data", () => {
  test("a filesystem keeps its data when its pod moves to the other node", async () => {
    await scope.claim("fs");
    await scope.pod("fs-1", { claims: ["fs"], node: NODES[0] });
    await scope.ready("fs-1");
    await scope.shell("fs-1", "dd if=/dev/urandom of=/data/f bs=64k count=64; sync");
    const sum = await scope.shell("fs-1", "sha256sum /data/f");
    await scope.remove("fs-1");
    await scope.pod("fs-2", { claims: ["fs"], node: NODES[1] });
    await scope.ready("fs-2");
    expect(await scope.shell("fs-2", "sha256sum /data/f")).toBe(sum);
    expect(await scope.shell("fs-2", "grep ' /data ' /proc/mounts")).toContain(" ext4 ");
    await scope.remove("fs-2");
    const volume = await scope.bound("fs");
    await scope.drop("fs");
    expect(await diskOf(volume)).toBeUndefined();
  });

  test("a block volume keeps its data when its pod moves to the other node", async () => {
    await scope.claim("block", { block: true });
    await scope.pod("block-1", { claims: ["block"], block: true, node: NODES[0] });
    await scope.ready("block-1");
    expect(await scope.shell("block-1", "blockdev --getsize64 /dev/vol")).toBe(String(64 * 2 ** 20));
    await scope.shell("block-1", "dd if=/dev/urandom of=/dev/vol bs=1M count=4; sync");
    const read = "dd if=/dev/vol bs=1M count=4 2>/dev/null | sha256sum";
    const sum = await scope.shell("block-1", read);
    await scope.remove("block-1");
    await scope.pod("block-2", { claims: ["block"], block: true, node: NODES[1] });
    await scope.ready("block-2");
    expect(await scope.shell("block-2", read)).toBe(sum);
    await scope.remove("block-2");
    await scope.drop("block");
  });

  test("with WaitForFirstConsumer the volume comes with its first pod, which is not kept waiting", async () => {
    const late = await scope.storageClass("late", {}, { volumeBindingMode: "WaitForFirstConsumer" });
    await scope.claim("late", { storageClass: late });
    await scope.event(CLAIM, "late", "WaitForFirstConsumer", /first consumer/);
    expect((await api.get(CLAIM, "late", scope.namespace)).status.phase).toBe("Pending");
    await scope.pod("late", { claims: ["late"] });
    // The scheduler waits for the volume. How long the node takes then depends on what else it does.
    const scheduled = ({ spec }: Thing) => spec.nodeName !== undefined;
    await api.await("Pod", "late", scope.namespace, "scheduled", scheduled, 20_000);
    await scope.ready("late");
    await scope.remove("late");
    await scope.drop("late");
  });

  test("with Immediate the volume is there before any pod", async () => {
    await scope.claim("early");
    const volume = await scope.bound("early");
    expect(await diskOf(volume)).toMatchObject({ exported: false });
    expect(await attachmentsOf(volume.metadata.name)).toEqual([]);
    await scope.drop("early");
  });

  test("a ReadWriteOncePod claim has one pod at a time", async () => {
    await scope.claim("single", { mode: "ReadWriteOncePod" });
    await scope.pod("single-1", { claims: ["single"] });
    await scope.ready("single-1");
    await scope.pod("single-2", { claims: ["single"] });
    await scope.event("Pod", "single-2", "FailedScheduling", /ReadWriteOncePod/);
    await scope.remove("single-1");
    await scope.ready("single-2", 90_000);
    await scope.remove("single-2");
    await scope.drop("single");
  });

  test("a pod that mounts its claim read-only cannot write", async () => {
    await scope.claim("ro");
    await scope.pod("ro-writer", { claims: ["ro"], script: "echo hello >/data/f" });
    await scope.ended("ro-writer");
    await scope.remove("ro-writer");
    await scope.pod("ro-reader", { claims: ["ro"], readOnly: true });
    await scope.ready("ro-reader");
    expect(await scope.shell("ro-reader", "cat /data/f")).toBe("hello");
    const written = await scope.tryShell("ro-reader", "echo changed >/data/f");
    expect([written.code === 0, written.stderr.includes("Read-only file system")]).toEqual([false, true]);
    await scope.remove("ro-reader");
    await scope.drop("ro");
  });

  test("with Retain the volume outlives its claim, and a PersistentVolume made by hand gives its data back", async () => {
    const keep = await scope.storageClass("keep", {}, { reclaimPolicy: "Retain" });
    await scope.claim("kept", { storageClass: keep });
    await scope.pod("kept-writer", { claims: ["kept"], script: "echo precious >/data/f; sync" });
    await scope.ended("kept-writer");
    await scope.remove("kept-writer");
    const volume = await scope.bound("kept");
    await api.delete(CLAIM, "kept", scope.namespace);
    const { name } = volume.metadata;
    await api.await(
      "PersistentVolume",
      name,
      undefined,
      "released",
      ({ status }) => status.phase === "Released",
    );
    await until("the end of its attachments", async () => (await attachmentsOf(name)).length === 0);
    await api.delete("PersistentVolume", name);
    await api.awaitGone("PersistentVolume", name);
    expect(await diskOf(volume)).toBeDefined();

    const { driver, volumeHandle, fsType, volumeAttributes } = volume.spec.csi;
    await api.apply({
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: "claims-static" },
      spec: {
        capacity: { storage: "64Mi" },
        accessModes: ["ReadWriteOnce"],
        persistentVolumeReclaimPolicy: "Delete",
        storageClassName: "",
        claimRef: { namespace: scope.namespace, name: "static" },
        csi: { driver, volumeHandle, fsType, volumeAttributes },
      },
    });
    await scope.claim("static", { storageClass: "", volumeName: "claims-static" });
    await scope.pod("static", { claims: ["static"] });
    await scope.ready("static");
    expect(await scope.shell("static", "cat /data/f")).toBe("precious");
    await scope.remove("static");
    await scope.drop("static");
  });

  test("a generic ephemeral volume lives as long as its pod", async () => {
    const spec = {
      accessModes: ["ReadWriteOnce"],
      storageClassName: "rds",
      resources: { requests: { storage: "64Mi" } },
    };
    await scope.pod("short", {
      volumes: [{ name: "scratch", ephemeral: { volumeClaimTemplate: { spec } } }],
    });
    await scope.ready("short");
    const volume = await scope.bound("short-scratch");
    expect(await scope.shell("short", "echo 1 >/data/f; cat /data/f")).toBe("1");
    await scope.remove("short");
    await api.awaitGone("PersistentVolume", volume.metadata.name);
    expect(await diskOf(volume)).toBeUndefined();
  });
});

describe.concurrent("what is refused says so", () => {
  test("ReadWriteMany with a filesystem", async () => {
    await scope.claim("many", { mode: "ReadWriteMany" });
    const message = await scope.event(CLAIM, "many", "ProvisioningFailed", /ReadWriteMany/);
    expect(message).toContain("an ext4 or XFS filesystem mounted by two nodes is destroyed");
    expect(await scope.describeClaim("many")).toContain(
      "ReadWriteMany with volumeMode: Filesystem is refused",
    );
    await scope.drop("many");
  });

  test("a parameter that does not exist", async () => {
    const wrong = await scope.storageClass("wrong", { Pool: "storage-pool" });
    await scope.claim("wrong", { storageClass: wrong });
    const message = await scope.event(CLAIM, "wrong", "ProvisioningFailed", /Pool/);
    expect(message).toContain('StorageClass parameter "Pool" is unknown (known: pool,');
    expect(await scope.describeClaim("wrong")).toContain("is unknown (known: pool,");
    await scope.drop("wrong");
  });

  test("a volume larger than the pool", async () => {
    await scope.claim("huge", { size: "10Ti" });
    const message = await scope.event(CLAIM, "huge", "ProvisioningFailed", /storage-pool/);
    expect(message).toContain("pool storage-pool has 214748364800 bytes in all");
    await scope.drop("huge");
  });

  test("a volume larger than the pool at its first pod, as no capacity keeps the pod from a node before", async () => {
    const path = "/apis/storage.k8s.io/v1/csistoragecapacities";
    expect((await api.request("GET", path)).items).toEqual([]);
    const late = await scope.storageClass("vast", {}, { volumeBindingMode: "WaitForFirstConsumer" });
    await scope.claim("vast", { storageClass: late, size: "10Ti" });
    await scope.pod("vast", { claims: ["vast"] });
    await scope.event(CLAIM, "vast", "ProvisioningFailed", /pool storage-pool has 214748364800 bytes in all/);
    await scope.remove("vast");
    await scope.drop("vast");
  });

  test("a pod on a second node, which gets the volume once the first one is gone", async () => {
    await scope.claim("held");
    await scope.pod("held-1", { claims: ["held"], node: NODES[0] });
    await scope.ready("held-1");
    await scope.pod("held-2", { claims: ["held"], node: NODES[1] });
    // Of the attach-detach controller, which asks nobody for a ReadWriteOnce volume.
    await scope.event("Pod", "held-2", "FailedAttachVolume", /Multi-Attach error/);
    await scope.remove("held-1");
    await scope.ready("held-2", 90_000);
    await scope.remove("held-2");
    await scope.drop("held");
  });
});
