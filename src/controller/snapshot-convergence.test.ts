import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { noneDead } from "../../test/support/file-layouts.ts";
import { untilDone, useStack } from "../../test/support/own-stack.ts";
import type { Stack, StackOptions } from "../../test/support/rds-stack.ts";
import type { WholeState } from "../../test/support/simulator-state.ts";
import type { FaultAction } from "../simulator/faults.ts";
import type { ProfileName } from "../simulator/profiles.ts";
import type { Switches } from "../simulator/switches.ts";
import {
  CLONE,
  prepare,
  SOURCE,
  snapshotsOf,
  stateOf,
  textOf,
  textOfSnapshot,
  VERBS,
  type Verb,
} from "./snapshots.fixture.ts";

type VerbName = keyof typeof VERBS;
const NAMES = Object.keys(VERBS) as VerbName[];

/** The profiles, and doubts about subvolumes that none of them puts together. */
const DEVICES: Readonly<Record<string, { profile: ProfileName; switches?: Partial<Switches> }>> = {
  current: { profile: "current" },
  hostile: { profile: "hostile" },
  strict: { profile: "strict" },
  old: { profile: "old" },
  "current, parents by full name, names of dead ones taken": {
    profile: "current",
    switches: { snapshotParent: "fullname", subvolumeRemoval: "dead", deadName: "taken" },
  },
};

const open = useStack();

async function start(options: StackOptions, verb: VerbName): Promise<Stack> {
  const clock = fastClock(20);
  const on = await open({ clock, simulatorClock: clock, ...options });
  await prepare(on, VERBS[verb]);
  await noneDead(on);
  return on;
}

/** What the device holds after a verb that nothing disturbed. */
async function undisturbed(options: StackOptions, verb: VerbName): Promise<WholeState> {
  const on = await start(options, verb);
  await VERBS[verb].call(on);
  const state = await stateOf(on);
  await expectContent(on, verb);
  await on.close();
  return state;
}

/** What a source, its snapshot and its clone hold. */
async function expectContent(on: Stack, verb: VerbName): Promise<void> {
  const isCut = verb !== "clone" && verb !== "delete the snapshot";
  expect(isCut ? await textOfSnapshot(on, 5) : snapshotsOf(on)).toEqual(isCut ? "first" : []);
  const source = verb === "snapshot" || verb === "clone" ? "first" : "later";
  if (verb !== "delete the source") expect(await textOf(on, SOURCE, 5)).toBe(source);
  if (on.simulator.device.disk(CLONE) !== undefined) expect(await textOf(on, CLONE, 5)).toBe("first");
}

/** Disturbs the n-th command of a call, then lets it be repeated; says whether there was an n-th command. */
async function disturbed(
  options: StackOptions,
  verb: VerbName,
  expected: WholeState,
  { nth, line, ...action }: FaultAction & { readonly nth?: number; readonly line?: RegExp },
): Promise<boolean> {
  const on = await start(options, verb);
  // A fresh controller, as after a crash: it remembers nothing.
  const fresh = on.controller();
  await fresh.rds.version(on.signal);
  const when = { ...(nth === undefined ? {} : { nth }), ...(line === undefined ? {} : { line }) };
  const fault = on.simulator.faults.add(action, when);
  const { call: once }: Verb = VERBS[verb];
  const call = () => untilDone(() => once(fresh));
  const answer = await call();
  const what = { action, ...when };
  expect({ what, state: await stateOf(on) }).toEqual({ what, state: expected });
  // The repeat of a finished call changes nothing and answers the same.
  expect(await call()).toEqual(answer);
  expect({ what, again: await stateOf(on) }).toEqual({ what, again: expected });
  await expectContent(on, verb);
  const isStruck =
    action.kind === "truncateOutput"
      ? fault.hits > 0
      : on.simulator.commands.some(({ outcome }) => outcome === "cut");
  await on.close();
  return isStruck;
}

for (const [name, options] of Object.entries(DEVICES)) {
  describe(`every RouterOS command of snapshots and clones disturbed, ${name}`, () => {
    for (const verb of NAMES) {
      test(`${verb}: the connection is cut before or behind a command, or its reply`, async () => {
        const expected = await undisturbed(options, verb);
        for (const action of [
          { kind: "cutBefore" },
          { kind: "cutAfter" },
          { kind: "truncateOutput", bytes: 12 },
        ] as const) {
          let nth = 1;
          while (await disturbed(options, verb, expected, { ...action, nth })) nth += 1;
          expect(nth).toBeGreaterThan(2);
        }
      });

      test(`${verb}: RouterOS stops after each statement of the change`, async () => {
        const expected = await undisturbed(options, verb);
        const line = /\/subvolume\/(?:add|remove)/;
        let statement = 1;
        while (await disturbed(options, verb, expected, { kind: "cutMidway", statement, line }))
          statement += 1;
        expect(statement).toBeGreaterThan(1);
      });
    }
  });
}
