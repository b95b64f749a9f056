import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { createVolume, outcome, useStack, type Wish } from "../../test/support/own-stack.ts";
import { BLOCK, GIB, MIB, MOUNT, newRsaKey, type Stack } from "../../test/support/rds-stack.ts";
import { secretKey } from "../../test/support/secret-key.ts";
import type { Capability } from "../domain/access-mode.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { jsonForm } from "../routeros/reply/json-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";

const start = useStack();

const create = (on: Pick<Stack, "volumes">, wish: Wish = {}) =>
  createVolume(on, { required: 8n * MIB, ...wish });
const publish = (
  on: Pick<Stack, "attachments">,
  volumeId: string,
  nodeId: string,
  over: { capability?: Capability; readonly?: boolean } = {},
) =>
  on.attachments.publish({
    volumeId,
    nodeId,
    capability: BLOCK,
    readonly: false,
    signal: AbortSignal.timeout(30_000),
    ...over,
  });

const ID = volumeIdFromName("pvc-1");

describe("RouterOS commands per call, on a warm connection", () => {
  test("CreateVolume 2, ControllerPublish 2 with the record known and 3 without, its repeat 1, ControllerUnpublish 1, DeleteVolume 2", async () => {
    const on = await start({ profile: "current" });
    await create(on, { name: "warm-up" });
    on.commandsSince();
    const count = () => on.commandsSince().length;
    await create(on);
    expect(count()).toBe(2);
    await create(on);
    expect(count()).toBe(2);
    await publish(on, ID, "node-a");
    expect(count()).toBe(2);
    await publish(on, ID, "node-a");
    expect(count()).toBe(1);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(count()).toBe(1);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(count()).toBe(1);
    const other = on.controller();
    await other.rds.version(on.signal);
    count();
    await publish(other, ID, "node-a");
    expect(count()).toBe(3);
    await other.attachments.unpublish(ID, "node-a", on.signal);
    count();
    await other.volumes.delete(ID, on.signal);
    expect(count()).toBe(2);
    await other.volumes.delete(ID, on.signal);
    expect(count()).toBe(2);
    await on.volumes.list(on.signal);
    expect(count()).toBe(1);
    await on.volumes.capacity([], {}, on.signal);
    expect(count()).toBe(1);
  });

  test("calls at the same time share a read that has not been sent", async () => {
    const on = await start({ latencyMs: 30 });
    await on.rds.version(on.signal);
    on.commandsSince();
    await Promise.all(Array.from({ length: 20 }, () => on.volumes.list(on.signal)));
    expect(on.commandsSince().length).toBe(2);
  });
});

describe("every reply form, on a console that wraps", () => {
  for (const form of [jsonForm, linesForm, detailForm]) {
    for (const profile of ["current", "hostile", "strict"] as const) {
      test(`${form.name}, ${profile}`, async () => {
        const on = await start({ profile, forms: [form], switches: { wrapWidth: 80, readyDelayMs: 0 } });
        const { id, sizeBytes } = await create(on, {
          name: `${"long ".repeat(20)}äöü`,
          required: 5n * GIB + 1n,
        });
        expect(sizeBytes).toBe(5n * GIB + MIB);
        const context = await publish(on, id, "node-a");
        expect([context.nqn, context.sizeBytes]).toEqual([
          expect.stringMatching(new RegExp(`^nqn\\.2000-02\\.com\\.mikrotik:${id}\\.1-[0-9a-f]{8}$`)),
          sizeBytes,
        ]);
        expect(await on.volumes.list(on.signal)).toEqual([{ id, sizeBytes, nodes: ["node-a"] }]);
        await on.attachments.unpublish(id, "", on.signal);
        await on.volumes.delete(id, on.signal);
        expect(on.simulator.device.disks).toEqual([]);
      });
    }
  }

  test("a device without :serialize is read line by line, and that is remembered", async () => {
    const on = await start({ switches: { serialize: "missing" } });
    await create(on);
    on.commandsSince();
    await create(on);
    expect(on.commandsSince().length).toBe(2);
    expect(await on.volumes.list(on.signal)).toHaveLength(1);
  });
});

describe("CreateVolume", () => {
  test("names of 1 and 128 bytes, unicode and shell characters, each its own volume", async () => {
    const on = await start();
    const names = [
      "a",
      "x".repeat(128),
      "ä".repeat(64),
      'pvc"; /system/reboot; :put "',
      "$[/disk/remove [find]]",
      "`reboot` && rm -rf /",
      "名前",
      "a;b=c,d|e%41",
      "\\",
      "~ok:0~",
    ];
    for (const name of names) await create(on, { name });
    const { volumes } = await on.rds.list(on.signal);
    expect(new Set(volumes.map((volume) => volume.record.name))).toEqual(new Set(names));
    for (const name of names) await on.volumes.delete(volumeIdFromName(name), on.signal);
    expect(on.simulator.device.disks).toEqual([]);
    expect(on.simulator.device.files.filter((file) => !file.directory)).toEqual([]);
  });

  test("a name of 129 bytes, an empty name, control characters", async () => {
    const on = await start();
    expect(await outcome(create(on, { name: "x".repeat(129) }))).toBe(
      "INVALID_ARGUMENT: name is 129 bytes long, the limit is 128 bytes",
    );
    expect(await outcome(create(on, { name: "" }))).toBe("INVALID_ARGUMENT: name is required and was empty");
    expect(await outcome(create(on, { name: "a\nb" }))).toBe(
      "INVALID_ARGUMENT: name is invalid: control characters are not allowed",
    );
    expect(on.commandsSince()).toEqual([]);
  });

  test("hostile text in every other string", async () => {
    const on = await start();
    const evil = '"; /disk/remove [find]; :put "$x';
    const { id } = await create(on, {
      parameters: { "csi.storage.k8s.io/pvc/name": evil, "csi.storage.k8s.io/pvc/namespace": evil },
    });
    const { volumes } = await on.rds.list(on.signal);
    expect(volumes[0]?.record.claim).toEqual({ namespace: evil, name: evil });
    expect(await outcome(create(on, { name: "b", parameters: { pool: evil } }))).toStartWith(
      "INVALID_ARGUMENT: StorageClass parameter pool=",
    );
    expect(await outcome(publish(on, evil, "node-a"))).toBe(
      `NOT_FOUND: volume ${JSON.stringify(evil)} does not exist on the RDS`,
    );
    expect(await outcome(publish(on, id, evil))).toBe(`NOT_FOUND: node ${JSON.stringify(evil)} is not known`);
    expect(await outcome(on.volumes.delete(evil, on.signal))).toBe("OK");
    expect(await outcome(on.attachments.unpublish(evil, evil, on.signal))).toBe("OK");
    expect(await outcome(on.attachments.unpublish(id, evil, on.signal))).toBe("OK");
    expect(on.simulator.device.disks).toHaveLength(1);
  });

  test("capacity 0, 1, 2^53+1 and -1", async () => {
    const on = await start({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 2n ** 55n }] });
    expect((await create(on, { name: "zero", required: 0n })).sizeBytes).toBe(GIB);
    expect((await create(on, { name: "one", required: 1n })).sizeBytes).toBe(MIB);
    expect((await create(on, { name: "huge", required: 2n ** 53n + 1n })).sizeBytes).toBe(2n ** 53n + MIB);
    expect(await outcome(create(on, { required: -1n }))).toBe(
      "INVALID_ARGUMENT: capacity_range.required_bytes is invalid: -1 is negative",
    );
  });

  test("a pool that is full, and one that could never hold it", async () => {
    const on = await start({ pools: [{ slot: "storage-pool", fs: "btrfs", size: 4n * GIB }] });
    expect(await outcome(create(on, { required: 4n * GIB }))).toStartWith(
      "RESOURCE_EXHAUSTED: pool storage-pool has ",
    );
    expect(await outcome(create(on, { required: 2n ** 53n + 1n }))).toBe(
      "OUT_OF_RANGE: capacity range required_bytes=9007199254740993 limit_bytes=0 cannot be met: pool storage-pool has 4294967296 bytes in all",
    );
    expect(on.simulator.device.disks).toEqual([]);
  });

  for (const noSpace of ["clean", "item-left", "file-left"] as const) {
    test(`the device itself runs full (${noSpace}): RESOURCE_EXHAUSTED, and nothing is left`, async () => {
      const on = await start({ switches: { noSpace } });
      on.simulator.faults.add({ kind: "diskFull" }, { line: /\/disk\/add/ });
      expect(await outcome(create(on))).toBe(
        "RESOURCE_EXHAUSTED: pool storage-pool has 1098327785472 bytes available, 8388608 bytes are needed",
      );
      expect(on.simulator.device.disks).toEqual([]);
      expect(on.simulator.device.files.filter((file) => !file.directory)).toEqual([]);
    });
  }

  test("volumes that are created at the same time do not share the same space", async () => {
    const on = await start({
      pools: [{ slot: "storage-pool", fs: "btrfs", size: 10n * GIB }],
      switches: { allocation: "sparse" },
    });
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, index) => outcome(create(on, { name: `v${index}`, required: 2n * GIB }))),
    );
    const made = on.simulator.device.disks.reduce((sum, disk) => sum + (disk.size ?? 0n), 0n);
    expect(made).toBeLessThanOrEqual(9n * GIB);
    expect(results.filter((result) => result === "OK")).toHaveLength(on.simulator.device.disks.length);
    expect(
      results.filter((result) => result !== "OK").every((result) => result.startsWith("RESOURCE_EXHAUSTED")),
    ).toBe(true);
  });

  test("a pool that is missing or not mounted", async () => {
    const on = await start();
    expect(await outcome(create(on, { parameters: { pool: "nope" } }))).toBe(
      'INVALID_ARGUMENT: pool "nope" does not exist on the RDS',
    );
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    expect(await outcome(create(on))).toBe('UNAVAILABLE: pool "storage-pool" is not mounted on the RDS');
    expect(on.simulator.device.disks).toEqual([]);
  });

  test("a foreign disk under our slot is never touched", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/backup/${ID}.img`,
      size: GIB,
      comment: "precious",
    });
    const before = structuredClone(on.simulator.device.disks);
    expect(await outcome(create(on))).toBe(
      `ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: disk ${ID} on the RDS is not managed by this driver (its comment holds no record of this driver)`,
    );
    const refusal = `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: its comment holds no record of this driver`;
    expect(await outcome(publish(on, ID, "node-a"))).toBe(refusal);
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(refusal);
    expect(await outcome(on.attachments.unpublish(ID, "", on.signal))).toBe("OK");
    expect(on.simulator.device.disks).toEqual(before);
  });

  test("a disk of another cluster is foreign too", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/csi/${ID}.img`,
      size: GIB,
      comment: "rds1;n=pvc-1;c=other;t=1",
    });
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(
      `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: it belongs to cluster other`,
    );
    expect(await on.volumes.list(on.signal)).toEqual([]);
  });

  test("a slot that belongs to a volume of another name", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: ID,
      path: `storage-pool/csi/${ID}.img`,
      size: GIB,
      comment: "rds1;n=pvc-2;c=test;t=1",
    });
    expect(await outcome(create(on))).toBe(
      `ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: disk ${ID} belongs to the volume "pvc-2"`,
    );
  });

  test("a file that someone else's disk uses is not removed", async () => {
    const on = await start();
    await on.simulator.device.addForeignDisk({
      slot: "other",
      path: `storage-pool/csi/${ID}.img`,
      size: GIB,
    });
    expect(await outcome(create(on))).toBe(
      `FAILED_PRECONDITION: disk ${ID} on the RDS is not managed by this driver: its file is used by another disk item of the RDS`,
    );
    expect(await outcome(on.volumes.delete(ID, on.signal))).toStartWith("FAILED_PRECONDITION: ");
    expect(on.simulator.device.disks).toHaveLength(1);
  });

  test("an existing volume with other properties, each named", async () => {
    const on = await start();
    await create(on, { required: 8n * MIB });
    const asked = (wish: Wish) => outcome(create(on, wish));
    const prefix = 'ALREADY_EXISTS: a volume with name "pvc-1" exists with other properties: ';
    expect(await asked({ required: 9n * MIB })).toBe(
      `${prefix}its size is 8388608 bytes, asked for required_bytes=9437184 limit_bytes=0`,
    );
    expect(await asked({ required: MIB, limit: 4n * MIB })).toBe(
      `${prefix}its size is 8388608 bytes, asked for required_bytes=1048576 limit_bytes=4194304`,
    );
    expect(await asked({ parameters: { migrationTimeoutSeconds: "600" } })).toBe(
      `${prefix}its migrationTimeoutSeconds is 300, asked for 600`,
    );
    expect(await asked({ required: MIB, limit: 8n * MIB })).toBe("OK");
  });
});

describe("the link and the device", () => {
  test("wrong host key", async () => {
    const on = await start({ hostKeys: [{ type: "rsa", pem: newRsaKey().privatePem }] });
    const pinned = on.simulator.hostKeyFingerprints[0];
    expect(await outcome(create(on))).toBe("OK");
    await on.close();
    const stranger = await start();
    Object.defineProperty(stranger.simulator, "hostKeyFingerprints", { value: [pinned] });
    const offered = /SHA256:[A-Za-z0-9+/]{43}/;
    expect(await outcome(create(stranger.controller()))).toMatch(
      new RegExp(
        `^UNAVAILABLE: the SSH host key of 127\\.0\\.0\\.1:\\d+ is ${offered.source}, which is not pinned \\(pinned: SHA256:`,
      ),
    );
    expect(stranger.commandsSince()).toEqual([]);
  });

  test("wrong user key", async () => {
    const on = await start();
    await writeFile(on.keyFile, secretKey("another user key").private);
    expect(await outcome(create(on))).toMatch(
      /^UNAVAILABLE: the RDS at 127\.0\.0\.1:\d+ refused the SSH key of user csi$/,
    );
  });

  test("unreachable RDS: UNAVAILABLE for every call, and never 'absent'", async () => {
    const on = await start();
    await create(on);
    on.simulator.faults.add({ kind: "refuseSessions", mode: "close" }, { count: Number.POSITIVE_INFINITY });
    on.simulator.dropConnections();
    const answers = await Promise.all([
      outcome(on.volumes.delete(ID, on.signal)),
      outcome(on.volumes.list(on.signal)),
      outcome(on.attachments.unpublish(ID, "node-a", on.signal)),
      outcome(publish(on, ID, "node-a")),
      outcome(create(on, { name: "another" })),
    ]);
    for (const answer of answers) {
      expect(answer).toMatch(
        /^UNAVAILABLE: the RDS at 127\.0\.0\.1:\d+ is not reachable over SSH: .* \(gave up after 0\.3 s\)$/,
      );
    }
    expect(on.simulator.device.disks).toHaveLength(1);
  });

  test("missing permission", async () => {
    const on = await start();
    await on.rds.version(on.signal);
    on.simulator.faults.add({ kind: "permissionMissing", policy: "write" }, { line: /\/disk\/add/ });
    expect(await outcome(create(on))).toBe(
      `PERMISSION_DENIED: create volume ${ID}: the RouterOS user lacks a permission (not enough permissions (9))`,
    );
  });

  test("RouterOS 7.20 is refused before anything is asked of it", async () => {
    const on = await start({ profile: "too-old" });
    const refusal =
      "FAILED_PRECONDITION: RouterOS 7.20 (stable) is too old: 7.21 or newer is required (nvme-tcp-server-nqn)";
    expect(await outcome(create(on))).toBe(refusal);
    expect(await outcome(on.volumes.list(on.signal))).toBe(refusal);
    expect(on.commandsSince().every((line) => line.includes("/system/resource/get version"))).toBe(true);
  });

  test("a cut-off answer is unreadable, not empty", async () => {
    const on = await start();
    await create(on);
    on.commandsSince();
    on.simulator.faults.add({ kind: "truncateOutput", bytes: 60 });
    expect(await outcome(on.volumes.list(on.signal))).toStartWith("UNAVAILABLE: ");
  });
});

describe("ControllerPublishVolume and Unpublish", () => {
  test("each attach gets a new NQN, the old one is gone from the RDS", async () => {
    const on = await start();
    await create(on);
    const first = await publish(on, ID, "node-a");
    expect(await publish(on, ID, "node-a")).toEqual(first);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
    const second = await publish(on, ID, "node-b", { capability: MOUNT });
    expect([first.nqn, second.nqn]).toEqual([
      expect.stringMatching(new RegExp(`:${ID}\\.1-[0-9a-f]{8}$`)),
      expect.stringMatching(new RegExp(`:${ID}\\.2-[0-9a-f]{8}$`)),
    ]);
    expect([first.filesystemState, second.filesystemState]).toEqual(["new", "used"]);
    expect(on.simulator.device.disks[0]?.nqn).toBe(second.nqn);
  });

  test("other node, other flags, deleted while attached", async () => {
    const on = await start();
    await create(on);
    await publish(on, ID, "node-a");
    expect(await outcome(publish(on, ID, "node-b"))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is attached to node node-a and its access mode allows a single node`,
    );
    expect(await outcome(publish(on, ID, "node-a", { readonly: true }))).toBe(
      `ALREADY_EXISTS: volume ${ID} is already attached to node node-a: readonly is false, asked for true`,
    );
    expect(await outcome(on.volumes.delete(ID, on.signal))).toBe(
      `FAILED_PRECONDITION: volume ${ID} is still attached to node-a`,
    );
    expect(await outcome(on.attachments.unpublish(ID, "node-b", on.signal))).toBe("OK");
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
  });

  test("two controllers at once: one node wins, the other is refused, and the record says so", async () => {
    const on = await start({ latencyMs: 5 });
    const other = on.controller();
    for (let round = 1; round <= 10; round++) {
      const name = `race-${round}`;
      const { id } = await create(on, { name });
      await other.rds.find(id, on.signal);
      const results = await Promise.all([
        outcome(publish(on, id, "node-a")),
        outcome(publish(other, id, "node-b")),
      ]);
      expect(results.filter((result) => result === "OK")).toHaveLength(1);
      expect(results.find((result) => result !== "OK")).toStartWith("FAILED_PRECONDITION: ");
      const winner = results[0] === "OK" ? "node-a" : "node-b";
      expect((await on.volumes.require(id, on.signal)).nodes).toEqual([winner]);
    }
  });

  test("a controller whose memory is stale decides on what is there", async () => {
    const on = await start();
    const other = on.controller();
    await create(on);
    await publish(other, ID, "node-a");
    expect(await outcome(publish(on, ID, "node-b"))).toStartWith("FAILED_PRECONDITION: ");
    await other.attachments.unpublish(ID, "node-a", on.signal);
    expect(await outcome(publish(on, ID, "node-b"))).toBe("OK");
    expect(await outcome(other.attachments.unpublish(ID, "node-b", on.signal))).toBe("OK");
    expect(on.simulator.device.disks[0]?.exported).toBe(false);
  });

  test("a node's limit of volumes counts attachments on the RDS, and costs a command only where it is set", async () => {
    const on = await start({ maxVolumesPerNode: 2 });
    const ids = [];
    for (const name of ["a", "b", "c"]) ids.push((await create(on, { name })).id);
    for (const id of ids.slice(0, 2)) await publish(on, id, "node-a");
    const third = ids[2] ?? "";
    expect(await outcome(publish(on, third, "node-a"))).toBe(
      "RESOURCE_EXHAUSTED: node node-a has 2 volumes already, the limit of --max-volumes-per-node",
    );
    expect(await outcome(publish(on, ids[0] ?? "", "node-a"))).toBe("OK");
    expect(await outcome(publish(on, third, "node-b"))).toBe("OK");
  });

  test("a volume whose pool is offline stays listed with its nodes, and is not attached anew", async () => {
    const on = await start();
    await create(on);
    await publish(on, ID, "node-a");
    await on.simulator.device.setPool("storage-pool", { mounted: false });
    expect(await on.volumes.list(on.signal)).toEqual([{ id: ID, sizeBytes: 0n, nodes: ["node-a"] }]);
    expect(await outcome(publish(on.controller(), ID, "node-a"))).toBe(
      `UNAVAILABLE: volume ${ID} has no block device on the RDS at present`,
    );
    expect(await outcome(on.attachments.unpublish(ID, "node-a", on.signal))).toBe("OK");
  });

  test("fencing by allowed hosts, where it is on", async () => {
    const on = await start({ fencing: "epoch+hosts" });
    await create(on);
    const { hostNqn } = await publish(on, ID, "node-a");
    expect(on.simulator.device.disks[0]?.allowHostName).toBe(hostNqn);
  });

  test("an export that someone switched off by hand is restored by the next call, under the same NQN", async () => {
    const on = await start();
    await create(on);
    const context = await publish(on, ID, "node-a");
    await on.transport.exec(`/disk/set [/disk/find where slot="${ID}"] nvme-tcp-export=no`, {
      signal: on.signal,
      timeoutMs: 5_000,
      purpose: "mutate",
    });
    expect(await publish(on, ID, "node-a")).toEqual(context);
    expect(on.simulator.device.disks[0]?.exported).toBe(true);
  });
});
