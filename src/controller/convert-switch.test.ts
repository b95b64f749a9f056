import { expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { createVolume, outcome } from "../../test/support/own-stack.ts";
import { BLOCK, type ControllerStack, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { conversionSlots } from "../rds/conversion-slots.ts";
import { publish } from "./calls.fixture.ts";
import { convert, killInSwitch, NEW, OLD } from "./convert.fixture.ts";
import { calls, lettersOf, SIZE, SOURCE, stateOf, useCopies } from "./copies.fixture.ts";

const start = useCopies();
const clock = fastClock(400);
const CONVERTING = `FAILED_PRECONDITION: volume ${SOURCE} is being moved into a subvolume`;

/** Every call that is about the volume, but for the detaching one. */
const CALLS: Readonly<Record<string, (by: ControllerStack, signal: AbortSignal) => Promise<unknown>>> = {
  CreateVolume: (by) => calls.source(by),
  "CreateVolume with another layout": (by) => calls.source(by, { layout: "subvolume" }),
  DeleteVolume: (by, signal) => by.volumes.delete(SOURCE, signal),
  ControllerPublishVolume: (by) => publish(by, SOURCE, "node-a"),
  ControllerExpandVolume: (by, signal) => {
    const range = { requiredBytes: 9n * MIB, limitBytes: 0n };
    return by.expansions.expand({ volumeId: SOURCE, range, capability: undefined, signal });
  },
  ControllerModifyVolume: (by, signal) =>
    by.modifications.modify({
      volumeId: SOURCE,
      mutableParameters: { migrationTimeoutSeconds: "60" },
      signal,
    }),
  ControllerGetVolume: (by, signal) => by.health.volume(SOURCE, signal),
  ControllerGetVolumeHealth: (by, signal) => by.health.health(SOURCE, signal),
  ValidateVolumeCapabilities: (by, signal) => by.volumes.validate(SOURCE, { capabilities: [BLOCK] }, signal),
  CreateSnapshot: (by, signal) => by.snapshots.create({ name: "s", source: SOURCE, parameters: {}, signal }),
  "CreateVolume from it": (by) =>
    createVolume(by, { name: "pvc-2", required: SIZE, source: { kind: "volume", id: SOURCE } }),
  "CreateVolume that copies it": (by) => calls.copy(by),
};

/** Kills a conversion in its switch at each place where the volume's own item is missing, and looks at each. */
async function eachKilled(look: (on: Stack, statement: number) => Promise<void>): Promise<void> {
  let places = 0;
  for (let statement = 1; ; statement += 1) {
    const on = await start({ first: "btrfs", clock });
    const struck = await killInSwitch(on, clock, statement);
    if (struck && on.simulator.device.disk(SOURCE) === undefined) {
      places += 1;
      await look(on, statement);
      expect({ statement, data: await lettersOf(on, NEW) }).toEqual({ statement, data: "ABC" });
      await convert(on.controller(), clock);
      expect({ statement, data: await lettersOf(on, NEW) }).toEqual({ statement, data: "ABC" });
      expect(on.simulator.device.file(OLD)).toBeUndefined();
    }
    await on.close();
    if (!struck) break;
  }
  expect(places).toBeGreaterThan(2);
}

test("killed while the volume has no item of its own: each call is refused with the reason, and changes nothing", async () => {
  await eachKilled(async (on, statement) => {
    const before = await stateOf(on);
    // One that remembers the volume and where it is, and one that knows nothing.
    for (const by of [on, on.controller()]) {
      const said: Record<string, string> = {};
      for (const [name, call] of Object.entries(CALLS)) said[name] = await outcome(call(by, on.signal));
      const expected = Object.fromEntries(Object.keys(CALLS).map((name) => [name, CONVERTING]));
      expect({ statement, said }).toEqual({ statement, said: expected });
      await by.attachments.unpublish(SOURCE, "", on.signal);
      expect((await by.volumes.list(on.signal)).entries.map(({ id }) => id)).toEqual([]);
    }
    expect(await stateOf(on)).toEqual(before);
  });
});

test.each([
  ["while it is copied", /\/disk\/copy/],
  ["before the old file goes", /\/file\/remove \$rest/],
] as const)("%s: calls that only look answer as ever", async (_, line) => {
  const on = await start({ first: "btrfs", clock });
  const { faults } = on.simulator;
  faults.hang({ line });
  const given = convert(on.controller(), clock);
  await until("the line is held", () => faults.hanging > 0);
  const by = on.controller();
  const { entries } = await by.volumes.list(on.signal);
  expect(entries.map(({ id, nodes }) => [id, nodes])).toEqual([[SOURCE, []]]);
  expect((await by.health.volume(SOURCE, on.signal)).volume.disk.size).toBe(SIZE);
  expect(await by.health.health(SOURCE, on.signal)).toEqual({ id: SOURCE, health: [] });
  expect(await by.volumes.validate(SOURCE, { capabilities: [BLOCK] }, on.signal)).toBeUndefined();
  faults.release();
  await given;
});

test("CreateVolume on a pool without room for a third file says that it is moved", async () => {
  const on = await start({ first: "btrfs", clock });
  const { availableBytes } = await on.volumes.capacity([BLOCK], {}, on.signal);
  // Behind it there is room for the second file, and no more.
  await createVolume(on, { name: "pvc-2", required: availableBytes - SIZE - MIB });
  await killInSwitch(on, clock, 1);
  expect(await outcome(calls.source(on.controller()))).toBe(CONVERTING);
});

test("a conversion that ends between the two looks of a call: the call is to be repeated, and finds the volume", async () => {
  const on = await start({ first: "btrfs", clock });
  await killInSwitch(on, clock, 1);
  const { faults } = on.simulator;
  const by = on.controller();
  const rule = faults.hang({ line: /or slot="new-\w+" or slot="old-\w+"\]/ });
  const given = outcome(by.volumes.getVolume(SOURCE, on.signal));
  await until("the second look is held", () => faults.hanging > 0);
  rule.remove();
  await convert(on.controller(), clock);
  faults.release();
  expect(await given).toMatch(/^UNAVAILABLE: .*its disk item was made meanwhile/);
  expect(await outcome(by.volumes.getVolume(SOURCE, on.signal))).toBe("OK");
});

test("DeleteVolume beside an item of an earlier conversion removes neither item nor file", async () => {
  const on = await start({ first: "btrfs", clock });
  const { fresh: slot } = conversionSlots(SOURCE);
  await on.simulator.device.addForeignDisk({ slot, path: NEW, size: SIZE, comment: "" });
  const before = await stateOf(on);
  expect(await outcome(on.volumes.delete(SOURCE, on.signal))).toBe(CONVERTING);
  expect(await stateOf(on)).toEqual(before);
});
