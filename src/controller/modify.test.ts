import { describe, expect, test } from "bun:test";
import { createVolume, outcome, useStack } from "../../test/support/own-stack.ts";
import {
  BLOCK,
  BRISK_CLOCK,
  type ControllerStack,
  type Stack,
  type StackOptions,
} from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { encodeRecord, RECORD_LIMIT } from "../domain/record/record-codec.ts";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { expand } from "./expansion.fixture.ts";
import { ID, modify, stored } from "./modify.fixture.ts";

const start = useStack();
const SHARED: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };

const publish = (on: ControllerStack, nodeId = "node-a") =>
  on.attachments.publish({
    volumeId: ID,
    nodeId,
    capability: SHARED,
    readonly: false,
    signal: AbortSignal.timeout(30_000),
  });

async function withVolume(
  nodes: readonly string[] = [],
  options: StackOptions = {},
  parameters: Record<string, string> = {},
): Promise<Stack> {
  const on = await start(options);
  await createVolume(on, { capabilities: [SHARED], parameters });
  for (const node of nodes) await publish(on, node);
  on.commandsSince();
  return on;
}

const ALL = {
  migrationTimeoutSeconds: "900",
  migrationGuard: "warn",
  ctrlLossTmo: "600",
  reconnectDelay: "10",
  keepAliveTmo: "15",
  fastIoFailTmo: "60",
  nrIoQueues: "4",
  queueSize: "64",
} as const;
const ALL_SETTINGS = {
  migrationTimeoutSeconds: 900,
  migrationGuard: "warn",
  ctrlLossTmo: 600,
  reconnectDelay: 10,
  keepAliveTmo: 15,
  fastIoFailTmo: 60,
  nrIoQueues: 4,
  queueSize: 64,
} as const;

describe("ControllerModifyVolume", () => {
  test("writes every key in one command behind one read, and keeps those that are not named", async () => {
    const on = await withVolume();
    await modify(on, ALL);
    expect(on.commandsSince()).toHaveLength(2);
    expect(stored(on).record.settings).toEqual(ALL_SETTINGS);
    await modify(on, { queueSize: "default", migrationTimeoutSeconds: "auto" });
    expect(stored(on).record.settings).toEqual({
      ...ALL_SETTINGS,
      queueSize: DEFAULT_SETTINGS.queueSize,
      migrationTimeoutSeconds: "auto",
    });
    await modify(on, { nrIoQueues: "default" });
    expect(stored(on).record.settings.nrIoQueues).toBe(DEFAULT_SETTINGS.nrIoQueues);
  });

  test("a repeat gives the same settings for two commands; no key at all reads only", async () => {
    const on = await withVolume();
    await modify(on, ALL);
    on.commandsSince();
    await modify(on.controller(), ALL);
    await modify(on, ALL);
    expect(stored(on).record.settings).toEqual(ALL_SETTINGS);
    on.commandsSince();
    await modify(on, ALL);
    expect(on.commandsSince()).toHaveLength(2);
    await modify(on, {});
    expect(on.commandsSince()).toHaveLength(1);
  });

  test("unknown, fixed and bad values are refused by name, beside good ones too, with nothing changed", async () => {
    const on = await withVolume();
    const before = stored(on);
    const known = Object.keys(ALL).join(", ");
    for (const [bad, message] of [
      [{ Queues: "4" }, `parameter "Queues" is unknown (can be changed: ${known}); nothing was changed`],
      [
        { constructor: "4" },
        `parameter "constructor" is unknown (can be changed: ${known}); nothing was changed`,
      ],
      [
        { pool: "ssd" },
        `parameter "pool" is fixed when a volume is made (can be changed: ${known}); nothing was changed`,
      ],
      [
        { "csi.storage.k8s.io/fstype": "xfs" },
        `parameter "csi.storage.k8s.io/fstype" is fixed when a volume is made (can be changed: ${known}); nothing was changed`,
      ],
      [
        { migrationGuard: "on" },
        'parameter migrationGuard="on" is invalid: expected enforce, warn or off (default enforce); nothing was changed',
      ],
    ] as const) {
      const answer = await outcome(modify(on, { keepAliveTmo: "9", ...bad }));
      expect(answer).toBe(`INVALID_ARGUMENT: VolumeAttributesClass ${message}`);
    }
    expect(stored(on)).toEqual(before);
  });

  test("the times of a connection are checked against those that the volume has", async () => {
    const on = await withVolume([], {}, { ctrlLossTmo: "600", fastIoFailTmo: "20" });
    const before = stored(on);
    expect(await outcome(modify(on, { ctrlLossTmo: "10" }))).toContain(
      'parameter ctrlLossTmo="10" is invalid: expected a whole number of seconds, -1 (never give up, default) to 86400; fastIoFailTmo is 20, so the controller would be gone before',
    );
    expect(await outcome(modify(on, { fastIoFailTmo: "700" }))).toContain('parameter fastIoFailTmo="700"');
    expect(stored(on)).toEqual(before);
    await modify(on, { ctrlLossTmo: "10", fastIoFailTmo: "5" });
    expect(stored(on).record.settings).toMatchObject({ ctrlLossTmo: 10, fastIoFailTmo: 5 });
  });

  test("a volume that does not exist: NOT_FOUND, whatever the keys are; a foreign disk is not touched", async () => {
    const on = await withVolume();
    const none = volumeIdFromName("none");
    for (const keys of [{}, ALL, { pool: "x" }]) {
      expect(await outcome(modify(on, keys, on.signal, none))).toStartWith("NOT_FOUND: ");
    }
    const { comment } = stored(on).disk;
    await on.simulator.device.setDisk(ID, { comment: comment.replace(";c=test", ";c=other") });
    const before = on.simulator.device.disk(ID);
    expect(await outcome(modify(on, ALL))).toStartWith("NOT_FOUND: ");
    expect(on.simulator.device.disk(ID)).toEqual(before as never);
  });

  test("a record without room for it is refused with nothing changed, and the volume can still be detached", async () => {
    const on = await withVolume(["node-a"]);
    const { record, disk } = stored(on);
    // The change adds less than 48 bytes: it would fit, but leave no room for a revision.
    const filler = "x".repeat(RECORD_LIMIT - disk.comment.length - ";zz=".length - 48);
    const comment = encodeRecord({ ...record, unknown: [["zz", filler]] });
    await on.simulator.device.setDisk(ID, { comment });
    expect(await outcome(modify(on, { keepAliveTmo: "9" }))).toStartWith("INVALID_ARGUMENT: ");
    expect(stored(on).disk.comment).toBe(comment);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(stored(on).record.attachments).toEqual([]);
  });

  test("CreateVolume with the values as mutable parameters finds the volume, with others it does not", async () => {
    const on = await withVolume();
    await modify(on, { keepAliveTmo: "9" });
    const create = (mutableParameters: Record<string, string>) =>
      outcome(
        on.volumes.create({
          ...{ name: "pvc-1", range: { requiredBytes: 0n, limitBytes: 0n }, capabilities: [SHARED] },
          ...{ parameters: {}, mutableParameters, source: undefined, signal: on.signal },
        }),
      );
    expect(await create({ keepAliveTmo: "9" })).toBe("OK");
    expect(await create({})).toStartWith("ALREADY_EXISTS: ");
    expect(await create({ pool: "storage-pool" })).toStartWith(
      'INVALID_ARGUMENT: VolumeAttributesClass parameter "pool" is fixed',
    );
  });
});

describe("an attached volume", () => {
  const { migrationTimeoutSeconds: _time, migrationGuard: _guard, ...given } = DEFAULT_SETTINGS;
  const { migrationTimeoutSeconds: _later, migrationGuard: _other, ...changed } = ALL_SETTINGS;

  test("its export and its hosts are not touched, and its nodes keep their publish context", async () => {
    const on = await withVolume(["node-a"]);
    const { device } = on.simulator;
    const context = await publish(on);
    expect(context).toMatchObject(given);
    expect(device.connectHost(context.nqn, context.hostNqn)).toBe(true);
    const { comment: _, ...before } = stored(on).disk;
    on.commandsSince();
    await modify(on, ALL);
    const lines = on.commandsSince();
    expect(lines).toHaveLength(2);
    expect(lines.filter((line) => line.includes("nvme-tcp-export="))).toEqual([]);
    const { comment: __, ...after } = stored(on).disk;
    expect(after).toEqual(before);
    expect([device.hosts.connected(context.nqn), device.hosts.dropped]).toEqual([[context.hostNqn], 0]);
    expect(await publish(on)).toEqual(context);
    expect(await publish(on.controller())).toEqual(context);
  });

  test("an export that somebody switched off stays off", async () => {
    const on = await withVolume(["node-a"]);
    await on.simulator.device.setDisk(ID, { "nvme-tcp-export": false });
    await modify(on, ALL);
    expect(stored(on)).toMatchObject({ disk: { exported: false }, record: { settings: ALL_SETTINGS } });
  });

  test("the target of the next migration has the new settings, the source those that it was given", async () => {
    const on = await withVolume(["node-a"]);
    const source = await publish(on);
    await modify(on, ALL);
    const target = await publish(on, "node-b");
    expect(target).toMatchObject({ ...changed, nqn: source.nqn });
    expect(stored(on).record.migration?.timeoutSeconds).toBe(900);
    expect(await publish(on)).toEqual(source);
    await modify(on, { keepAliveTmo: "5", migrationTimeoutSeconds: "30" });
    expect([await publish(on), await publish(on, "node-b")]).toEqual([source, target]);
    expect(stored(on).record.migration?.timeoutSeconds).toBe(900);
    await on.attachments.unpublish(ID, "node-a", on.signal);
    expect(await publish(on, "node-b")).toEqual(target);
    await on.attachments.unpublish(ID, "node-b", on.signal);
    expect(await publish(on)).toMatchObject({ ...changed, keepAliveTmo: 5 });
    expect(stored(on).disk.comment).not.toContain(";o=");
  });

  test("a change and its way back leave no trace of the detour", async () => {
    const on = await withVolume(["node-a"]);
    await modify(on, { keepAliveTmo: "9" });
    expect(stored(on).disk.comment).toContain(";o=0,");
    await modify(on, { keepAliveTmo: "5" });
    expect(stored(on).disk.comment).not.toContain(";o=");
  });

  test("an expansion with re-export asks whether its hosts survive it, not whether later ones would", async () => {
    const on = await withVolume(
      ["node-a"],
      { online: "re-export", simulatorClock: BRISK_CLOCK },
      { ctrlLossTmo: "10" },
    );
    await modify(on, { ctrlLossTmo: "-1" });
    expect(await outcome(expand(on))).toContain("its ctrlLossTmo of 10 s is below 30 s");
    await on.attachments.unpublish(ID, "node-a", on.signal);
    await publish(on);
    expect(await outcome(expand(on))).toBe("OK");
    await modify(on, { fastIoFailTmo: "5" });
    expect(await outcome(expand(on, 64n << 20n))).toBe("OK");
  });
});
