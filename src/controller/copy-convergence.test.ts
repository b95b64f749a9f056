import { describe, expect, test } from "bun:test";
import { noneDead } from "../../test/support/file-layouts.ts";
import { untilDone } from "../../test/support/own-stack.ts";
import type { Stack, StackOptions } from "../../test/support/rds-stack.ts";
import type { WholeState } from "../../test/support/simulator-state.ts";
import type { FaultAction } from "../simulator/faults.ts";
import type { ProfileName } from "../simulator/profiles.ts";
import type { Switches } from "../simulator/switches.ts";
import { COPY, calls, fileNow, lettersOf, stateOf, useCopies } from "./copies.fixture.ts";

const start = useCopies();

/** The profiles, and doubts about copies that none of them puts together. */
const DEVICES: Readonly<Record<string, { profile: ProfileName; switches?: Partial<Switches> }>> = {
  current: { profile: "current" },
  hostile: { profile: "hostile", switches: { copyStatus: "human" } },
  strict: { profile: "strict" },
  old: { profile: "old" },
};
const FORMS = {
  "from plain to plain": { first: "xfs", parameters: {} },
  "from plain to a subvolume": { first: "btrfs", parameters: {} },
} as const;
type Form = keyof typeof FORMS;

const copyOf = (on: Pick<Stack, "volumes">, form: Form) =>
  untilDone(() => calls.copy(on as Stack, FORMS[form].parameters), 40);

async function undisturbed(options: StackOptions, form: Form): Promise<WholeState> {
  const on = await start({ ...options, first: FORMS[form].first });
  await copyOf(on, form);
  expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
  const state = await stateOf(on);
  await on.close();
  return state;
}

/** Disturbs the n-th command of a copy, then lets another process go on; says whether there was an n-th command. */
async function disturbed(
  options: StackOptions,
  form: Form,
  expected: WholeState,
  { nth, line, ...action }: FaultAction & { readonly nth?: number; readonly line?: RegExp },
): Promise<boolean> {
  const on = await start({ ...options, first: FORMS[form].first });
  await noneDead(on);
  const fresh = on.controller();
  await fresh.rds.version(on.signal);
  const when = { ...(nth === undefined ? {} : { nth }), ...(line === undefined ? {} : { line }) };
  const fault = on.simulator.faults.add(action, when);
  const answer = await copyOf(fresh, form);
  const what = { action, ...when };
  expect({ what, state: await stateOf(on) }).toEqual({ what, state: expected });
  expect(await copyOf(on.controller(), form)).toEqual(answer);
  expect({ what, again: await stateOf(on) }).toEqual({ what, again: expected });
  const isStruck =
    action.kind === "truncateOutput"
      ? fault.hits > 0
      : on.simulator.commands.some(({ outcome }) => outcome === "cut");
  await on.close();
  return isStruck;
}

for (const [name, options] of Object.entries(DEVICES)) {
  describe(`every RouterOS command of a copy disturbed, ${name}`, () => {
    for (const form of Object.keys(FORMS) as Form[]) {
      test(`${form}: the connection is cut before or behind a command, or its reply`, async () => {
        const expected = await undisturbed(options, form);
        for (const action of [
          { kind: "cutBefore" },
          { kind: "cutAfter" },
          { kind: "truncateOutput", bytes: 12 },
        ] as const) {
          let nth = 1;
          while (await disturbed(options, form, expected, { ...action, nth })) nth += 1;
          expect(nth).toBeGreaterThan(4);
        }
      });

      test(`${form}: RouterOS stops after each statement of a part`, async () => {
        const expected = await undisturbed(options, form);
        const line = /\/disk\/copy/;
        let statement = 1;
        while (await disturbed(options, form, expected, { kind: "cutMidway", statement, line }))
          statement += 1;
        expect(statement).toBeGreaterThan(2);
      });
    }
  });
}
