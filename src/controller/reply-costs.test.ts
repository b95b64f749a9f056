import { describe, expect, test } from "bun:test";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { BLOCK, MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { fill } from "../rds/many-disks.fixture.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import { ID, publish } from "./calls.fixture.ts";
import { modify } from "./modify.fixture.ts";

const start = useStack();

/** Commands, bytes of their replies, and disks in these. */
interface Cost {
  readonly commands: number;
  readonly bytes: number;
  readonly rows: number;
}

type Call = (on: Stack) => Promise<unknown>;

/** A controller of another process: it remembers nothing. */
const another = async (on: Stack): Promise<Stack> => {
  const fresh = on.controller();
  await fresh.rds.version(on.signal);
  return { ...on, ...fresh };
};

const CALLS: readonly (readonly [string, Call])[] = [
  ["CreateVolume", (on) => createVolume(on)],
  ["CreateVolume again", (on) => createVolume(on)],
  [
    "CreateVolume of a pool that is too small",
    (on) => createVolume(on, { name: "x", required: 1n << 50n }).catch(() => {}),
  ],
  ["GetCapacity", (on) => on.volumes.capacity([BLOCK], {}, on.signal)],
  ["ValidateVolumeCapabilities", (on) => on.volumes.validate(ID, { capabilities: [BLOCK] }, on.signal)],
  ["ControllerPublishVolume", (on) => publish(on, ID, "node-a")],
  ["ControllerExpandVolume", (on) => expand(on, 4n)],
  ["ControllerModifyVolume", (on) => modify(on, { queueSize: "64" })],
  ["ControllerUnpublishVolume", (on) => on.attachments.unpublish(ID, "node-a", on.signal)],
  ["DeleteVolume", (on) => on.volumes.delete(ID, on.signal)],
  ["DeleteVolume again", (on) => on.volumes.delete(ID, on.signal)],
  [
    "DeleteVolume of a volume that never was",
    (on) => on.volumes.delete(volumeIdFromName("never"), on.signal),
  ],
];
const COLD: readonly (readonly [string, Call])[] = [
  ["CreateVolume", (on) => createVolume(on)],
  ["ControllerPublishVolume", async (on) => publish(on, ID, "node-a")],
  ["ControllerExpandVolume", (on) => expand(on, 8n)],
  ["ControllerModifyVolume", (on) => modify(on, { queueSize: "128" })],
  ["ControllerUnpublishVolume", (on) => on.attachments.unpublish(ID, "node-a", on.signal)],
  ["DeleteVolume", (on) => on.volumes.delete(ID, on.signal)],
  ["DeleteVolume again", (on) => on.volumes.delete(ID, on.signal)],
];

const expand = (on: Stack, mebibytes: bigint) =>
  on.expansions.expand({
    volumeId: ID,
    range: { requiredBytes: mebibytes * MIB, limitBytes: 0n },
    capability: undefined,
    signal: on.signal,
  });

/** The cost of each call, one after the other, on a device with so many volumes. */
async function costs(volumes: number, options: StackOptions): Promise<Map<string, Cost>> {
  const on = await start({ profile: "current", maxVolumesPerNode: 3, ...options });
  const names = Array.from({ length: volumes }, (_, at) => `old-${at}`);
  await fill(on, names, ["vm-1", "scratch"]);
  await on.rds.version(on.signal);
  // What a process learns once: the reply form, and where the pool is mounted.
  await on.rds.readPool("storage-pool", 0n, on.signal);
  const found = new Map<string, Cost>();
  const measure = async (name: string, by: Stack, call: Call) => {
    const from = on.simulator.commands.length;
    await call(by);
    const replies = on.simulator.commands.slice(from).map(({ output }) => output);
    found.set(name, {
      commands: replies.length,
      bytes: replies.reduce((sum, { length }) => sum + length, 0),
      rows: replies.reduce((sum, reply) => sum + reply.split(/"slot":|:slot~/).length - 1, 0),
    });
  };
  for (const [name, call] of CALLS) await measure(name, on, call);
  for (const [name, call] of COLD)
    await measure(`${name}, by a process that remembers nothing`, await another(on), call);
  return found;
}

describe("the cost of a call on a device with 10 volumes, and with hundreds more", () => {
  for (const [form, options, volumes] of [
    ["JSON", {}, 1_000],
    ["marked lines", { forms: [linesForm] }, 250],
  ] as const) {
    test(`is the same in commands, bytes and disks that are read: ${form}, ${volumes} volumes`, async () => {
      const [few, many] = [await costs(10, options), await costs(volumes, options)];
      for (const [name, { commands, bytes, rows }] of many) {
        const less = few.get(name);
        expect({ name, commands, rows }).toEqual({
          name,
          commands: less?.commands ?? 0,
          rows: less?.rows ?? 0,
        });
        // Numbers have more digits.
        expect({ name, isSame: Math.abs(bytes - (less?.bytes ?? 0)) < 100 }).toEqual({ name, isSame: true });
      }
      expect(many.size).toBe(CALLS.length + COLD.length);
    });
  }
});
