import { describe, expect, test } from "bun:test";
import { writeFile } from "node:fs/promises";
import { outcome, useStack } from "../../test/support/own-stack.ts";
import { GIB, MIB, newRsaKey } from "../../test/support/rds-stack.ts";
import { secretKey } from "../../test/support/secret-key.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { jsonForm } from "../routeros/reply/json-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import { create, ID, publish } from "./calls.fixture.ts";

const start = useStack();

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
    // The volumes, and the pools.
    await on.volumes.list(on.signal);
    expect(count()).toBe(2);
    await on.volumes.capacity([], {}, on.signal);
    expect(count()).toBe(1);
  });

  test("calls at the same time share a read that has not been sent", async () => {
    const on = await start({ latencyMs: 30 });
    await on.rds.version(on.signal);
    on.commandsSince();
    await Promise.all(Array.from({ length: 20 }, () => on.volumes.list(on.signal)));
    // Of the volumes and of the pools, besides the driver's question whether two channels run at the same time.
    expect(on.commandsSince().filter((line) => line.includes("/disk")).length).toBe(4);
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
        expect((await on.volumes.list(on.signal)).entries).toEqual([
          { id, sizeBytes, nodes: ["node-a"], source: undefined, health: [] },
        ]);
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
    expect((await on.volumes.list(on.signal)).entries).toHaveLength(1);
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
        /^UNAVAILABLE: the RDS at 127\.0\.0\.1:\d+ is not reachable over SSH: .* \(gave up after [\d.]+ s\)$/,
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
