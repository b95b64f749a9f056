import { describe, expect, test } from "bun:test";
import { untilDone } from "../../test/support/own-stack.ts";
import type { Stack, StackOptions } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { publish } from "./calls.fixture.ts";
import { COPY, calls, fileNow, fill, lettersOf, stateOf, useCopies } from "./copies.fixture.ts";

const start = useCopies();

/** Lines run on when their client has left, and let others in between two statements, or a command and its argument. */
const STATEMENTS = { interleaving: "statements", clientDisconnect: "completes" } as const;
const ARGUMENTS = { ...STATEMENTS, interleaving: "arguments" } as const;
const DEVICES: Readonly<Record<string, StackOptions>> = {
  "current, between statements": { profile: "current", switches: STATEMENTS },
  "current, between a command and its argument": { profile: "current", switches: ARGUMENTS },
  "hostile, between statements": { profile: "hostile", switches: STATEMENTS },
};
/** Lines of a copy, besides the one that makes its target. */
const LINES = /\/disk\/copy|\/disk\/remove .*\/disk\/add/;

async function release({ simulator: { faults, commands } }: Stack): Promise<void> {
  faults.release();
  await until("all lines have ended", () => commands.every(({ finishedAt }) => finishedAt !== undefined));
}

/** Lets a process copy until its line is held; then the process dies. @returns whether a line was held */
async function heldBy(on: Stack, boundary: number, nth: number): Promise<boolean> {
  const { faults } = on.simulator;
  const controller = on.controller();
  await controller.rds.version(on.signal);
  const rule = faults.hangMidway(boundary, { line: LINES, nth });
  let ended = false;
  let isDead = false;
  const given = untilDone(async () => isDead || calls.copy(controller), 40)
    .catch(() => {})
    .finally(() => {
      ended = true;
    });
  await until("the line is held, or the copy has ended", () => ended || faults.hanging > 0);
  rule.remove();
  const isHeld = faults.hanging > 0;
  isDead = true;
  const closed = controller.copies.close();
  await controller.transport.close();
  await Promise.all([given, closed]);
  return isHeld;
}

for (const [name, options] of Object.entries(DEVICES)) {
  describe(`a line of a copy that was held until the copy was finished, attached and written, ${name}`, () => {
    // The first part, and the end of the copy.
    test.each([1, 4])("line %d", async (nth) => {
      let reached = 0;
      for (let boundary = 1; ; boundary++) {
        const on = await start(options);
        if (!(await heldBy(on, boundary, nth))) {
          await on.close();
          break;
        }
        reached = boundary;
        const made = await untilDone(() => calls.copy(on), 60);
        expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
        await publish(on, COPY, "node-a");
        await fill(on, fileNow(on, COPY), ["x", "y", "z"]);
        const before = await stateOf(on);
        await release(on);
        expect({ boundary, state: await stateOf(on) }).toEqual({ boundary, state: before });
        expect(await lettersOf(on, fileNow(on, COPY))).toBe("xyz");
        expect(await untilDone(() => calls.copy(on))).toMatchObject({ id: made.id, nodes: ["node-a"] });
        await on.close();
      }
      expect(reached).toBeGreaterThan(2);
    });
  });
}
