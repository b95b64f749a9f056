import { describe, expect, test } from "bun:test";
import { fastClock, steppedClock } from "../../test/support/clock.ts";
import { noneDead } from "../../test/support/file-layouts.ts";
import { outcome, untilDone, useStack } from "../../test/support/own-stack.ts";
import type { ControllerStack, Stack, StackOptions } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { failure } from "../domain/errors/driver-error.ts";
import {
  CLONE,
  calls,
  prepare,
  SNAPSHOT,
  SOURCE,
  snapshotsOf,
  stateOf,
  textOf,
  textOfSnapshot,
  VERBS,
  type Verb,
} from "./snapshots.fixture.ts";

const open = useStack();
const CHANGE = /\/subvolume\/(?:add|remove)/;

/** Lines run on when their client has left, and let others in between two statements. */
const LATE = { interleaving: "statements", clientDisconnect: "completes" } as const;
const DEVICES: Readonly<Record<string, StackOptions>> = {
  current: { profile: "current", switches: LATE },
  hostile: { profile: "hostile", switches: LATE },
  strict: { profile: "strict", switches: LATE },
  old: { profile: "old", switches: LATE },
};

/** Lets the lines that hang run on to their end. */
async function release({ simulator: { faults, commands } }: Stack): Promise<void> {
  faults.release();
  await until("all lines have ended", () => commands.every(({ finishedAt }) => finishedAt !== undefined));
}

/** Calls until a line hangs that changes something; then the caller gives up and its process dies. @returns whether a line hung */
async function heldBy(on: Stack, boundary: number, call: Verb["call"]): Promise<boolean> {
  const { faults } = on.simulator;
  const controller = on.controller();
  const rule = faults.hangMidway(boundary, { line: CHANGE });
  let ended = false;
  const given = call(controller)
    .catch(() => {})
    .finally(() => {
      ended = true;
    });
  await until("the line is held, or has ended", () => ended || faults.hanging > 0);
  rule.remove();
  const isHeld = faults.hanging > 0;
  await controller.transport.close();
  await given;
  return isHeld;
}

for (const [name, options] of Object.entries(DEVICES)) {
  describe(`a line that was held between two statements until its call was repeated and answered, ${name}`, () => {
    for (const verb of Object.keys(VERBS) as (keyof typeof VERBS)[]) {
      test(verb, async () => {
        const start = async () => {
          const clock = fastClock(20);
          const on = await open({ clock, simulatorClock: clock, ...options });
          await prepare(on, VERBS[verb]);
          await noneDead(on);
          return on;
        };
        const { call }: Verb = VERBS[verb];
        const expected = await start();
        await call(expected);
        const state = await stateOf(expected);
        let reached = 0;
        for (let boundary = 1; ; boundary++) {
          const on = await start();
          if (!(await heldBy(on, boundary, call))) break;
          reached = boundary;
          const answer = await untilDone(() => call(on.controller()));
          expect({ boundary, state: await stateOf(on) }).toEqual({ boundary, state });
          await release(on);
          expect({ boundary, late: await stateOf(on) }).toEqual({ boundary, late: state });
          expect(await untilDone(() => call(on.controller()))).toEqual(answer);
          await on.close();
        }
        expect(reached).toBeGreaterThan(6);
      });
    }
  });
}

describe("a line that cuts a snapshot waits on the RDS while the snapshot is deleted", () => {
  const DAYS_MS = 86_400_000;
  /** A controller whose first attempt to snapshot waits on the RDS, given up by its caller. */
  const waiting = async (aheadDays = 0) => {
    const clock = steppedClock();
    // Only the RDS's own clock counts.
    const simulatorClock = { ...clock, now: () => clock.now() + aheadDays * DAYS_MS };
    const on = await open({ clock, simulatorClock });
    await calls.volume(on);
    const { faults } = on.simulator;
    faults.hang({ line: CHANGE });
    const abort = new AbortController();
    const given = outcome(calls.snapshot(on, "s1", SOURCE, abort.signal));
    await until("the line waits", () => faults.hanging > 0);
    abort.abort(failure("cancelled", { what: "the caller gave up" }));
    expect(await given).not.toBe("OK");
    return { on, clock };
  };
  const pending = (seconds: number) =>
    `UNAVAILABLE: snapshot ${SNAPSHOT} is removed, but a command that makes it may still wait on the RDS, for ${seconds} s at most`;
  const deleted = (on: ControllerStack) => outcome(calls.deleteSnapshot(on));

  test("it runs within its time: the repeated delete removes what it made", async () => {
    const { on, clock } = await waiting();
    expect(await deleted(on)).toBe(pending(60));
    clock.pass(30);
    expect(await deleted(on)).toBe(pending(30));
    await release(on);
    expect(snapshotsOf(on)).toHaveLength(1);
    expect(await deleted(on)).toBe(pending(30));
    expect(snapshotsOf(on)).toEqual([]);
    clock.pass(30);
    expect(await deleted(on)).toBe("OK");
  });

  test.each([0, 400, -400])(
    "it runs later: nothing is made; the clock of the RDS is %d days ahead",
    async (ahead) => {
      const { on, clock } = await waiting(ahead);
      const before = await stateOf(on);
      clock.pass(61);
      expect(await deleted(on)).toBe("OK");
      await release(on);
      expect(await stateOf(on)).toEqual(before);
      await calls.snapshot(on);
      expect(await deleted(on)).toBe("OK");
    },
  );

  test("a second attempt that was answered does not hide the first one", async () => {
    const { on, clock } = await waiting();
    await calls.snapshot(on);
    expect(await deleted(on)).toBe(pending(60));
    await release(on);
    expect(snapshotsOf(on)).toHaveLength(1);
    expect(await deleted(on)).toBe(pending(60));
    clock.pass(61);
    expect([await deleted(on), snapshotsOf(on)]).toEqual(["OK", []]);
  });
});

test("a removal that was held leaves the snapshot that was cut since under the same name", async () => {
  for (let boundary = 1; ; boundary++) {
    const on = await open({ switches: LATE });
    await prepare(on, VERBS["delete the snapshot"]);
    if (!(await heldBy(on, boundary, VERBS["delete the snapshot"].call))) break;
    await calls.deleteSnapshot(on);
    await calls.snapshot(on);
    const before = await stateOf(on);
    await release(on);
    expect({ boundary, state: await stateOf(on) }).toEqual({ boundary, state: before });
    expect(await textOfSnapshot(on, 5)).toBe("later");
    await on.close();
  }
});

test("a restore that runs when its snapshot is deleted makes nothing", async () => {
  const on = await open({ switches: LATE });
  await prepare(on, VERBS.restore);
  expect(await heldBy(on, 1, VERBS.restore.call)).toBe(true);
  await calls.deleteSnapshot(on);
  const before = await stateOf(on);
  await release(on);
  expect(await stateOf(on)).toEqual(before);
});

/** Boundary of the line of a restore between its disk item and the growth; the test below sees the size at it. */
const BEFORE_GROWTH = 13;

test("a restore whose line finds a larger clone on its way, made by another line: it gets the size, and both answers are one", async () => {
  const on = await open({ switches: { interleaving: "statements" } });
  await calls.volume(on);
  await calls.snapshot(on);
  const { device, faults } = on.simulator;
  const line = /\/subvolume\/add/;
  faults.hang({ line });
  const late = untilDone(() => calls.restore(on.controller()));
  await until("the first line is held", () => faults.hanging === 1);
  faults.hangMidway(BEFORE_GROWTH, { line });
  const early = untilDone(() => calls.restore(on.controller()));
  await until("the second line is held", () => faults.hanging === 2);
  expect(device.disk(CLONE)?.size).toBe(device.disk(SOURCE)?.size);
  faults.release(1);
  const answer = await late;
  faults.release();
  expect([answer, await early]).toEqual([await early, answer]);
  expect(device.disk(CLONE)?.size).toBe(answer.sizeBytes);
});

describe("two controllers at once, whose lines run between each other", () => {
  const seeds = Array.from({ length: 24 }, (_, at) => at + 1);
  const both = async (on: Stack, call: (by: ControllerStack) => Promise<unknown>): Promise<void> => {
    const by = [on.controller(), on.controller()];
    for (const each of by) await each.rds.version(on.signal);
    const [one, other] = await Promise.all(by.map((each) => untilDone(() => call(each), 12)));
    expect(one).toEqual(other);
  };

  test.each(seeds)("one snapshot, one clone; then none: seed %d", async (interleavingSeed) => {
    const clock = fastClock(20);
    const switches = { interleaving: "statements", interleavingSeed } as const;
    const on = await open({ clock, simulatorClock: clock, switches });
    await calls.volume(on);
    const empty = await stateOf(on);
    await both(on, (by) => calls.snapshot(by));
    expect(snapshotsOf(on)).toHaveLength(1);
    await both(on, (by) => calls.restore(by));
    expect(await textOf(on, CLONE, 1)).toBe("\0");
    await both(on, (by) => calls.delete(by, CLONE));
    await both(on, (by) => calls.deleteSnapshot(by));
    expect(await stateOf(on)).toEqual(empty);
  });
});
