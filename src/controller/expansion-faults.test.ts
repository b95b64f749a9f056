import { afterEach, describe, expect, test } from "bun:test";
import { outcome } from "../../test/support/own-stack.ts";
import type { ControllerStack, Stack, StackOptions } from "../../test/support/rds-stack.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import type { FaultAction } from "../simulator/faults.ts";
import { expand, ID, LARGER, publish, reconcile, SIZE, shown, withVolume } from "./expansion.fixture.ts";

const PROFILES = ["current", "hostile", "strict", "old"] as const;

let stack: Stack | undefined;
/** Milliseconds by which the controllers' clock is ahead. */
let later = 0;
const clock: Clock = { ...systemClock, now: () => Date.now() + later };
afterEach(async () => {
  later = 0;
  await stack?.close();
  stack = undefined;
});
async function start(...given: Parameters<typeof withVolume>): Promise<Stack> {
  await stack?.close();
  stack = await withVolume(...given);
  return stack;
}

/** Repeats the call as external-resizer does: after errors that leave the outcome open. */
async function untilDone(on: ControllerStack): Promise<void> {
  for (let attempt = 1; attempt <= 8; attempt++) {
    try {
      await expand(on);
      return;
    } catch (error) {
      if (!(error instanceof DriverError) || (error.code !== 14 && error.code !== 10)) throw error;
    }
  }
  throw new Error("the expansion did not converge");
}

interface Situation {
  readonly options: StackOptions;
  readonly nodes: readonly string[];
}
const SITUATIONS: Record<string, Situation> = {
  detached: { options: {}, nodes: [] },
  "attached, announce": { options: { switches: { onlineResize: "at-once" } }, nodes: ["node-a"] },
  "attached, re-export": { options: { online: "re-export" }, nodes: ["node-a", "node-b"] },
};

/** Interrupts the n-th command, then lets the call be repeated; whether there was an n-th command. */
async function interrupted(situation: Situation, action: FaultAction, nth: number): Promise<boolean> {
  const on = await start(situation.options, situation.nodes);
  const fresh = on.controller();
  await fresh.rds.version(on.signal);
  on.simulator.faults.add(action, { nth });
  for (let repeat = 0; repeat < 2; repeat += 1) {
    await untilDone(fresh);
    const isAttached = situation.nodes.length > 0;
    expect({ action, nth, repeat, ...shown(on), nqn: "" }).toEqual({
      action,
      nth,
      repeat,
      size: LARGER,
      exported: isAttached,
      exportedSize: isAttached ? LARGER : undefined,
      nqn: "",
      marked: false,
      hosts: 0,
    });
  }
  return on.simulator.commands.some((entry) => entry.outcome === "cut");
}

for (const profile of PROFILES) {
  describe(`every RouterOS command of an expansion cut, profile ${profile}`, () => {
    for (const [name, { options, nodes }] of Object.entries(SITUATIONS)) {
      const situation = { options: { ...options, profile }, nodes };
      for (const kind of ["cutBefore", "cutAfter"] as const) {
        test(`${name}, ${kind}`, async () => {
          let nth = 1;
          while (await interrupted(situation, { kind }, nth)) nth += 1;
          expect(nth).toBeGreaterThan(2);
        });
      }
      test(`${name}, RouterOS stops after each statement of the change`, async () => {
        let statement = 1;
        while (await interrupted(situation, { kind: "cutMidway", statement }, 2)) statement += 1;
        // Growing; or marking, growing, off, on.
        expect(statement - 1).toBe(options.online === "re-export" ? 4 : 1);
      });
    }
  });
}

describe("a controller dies between export off and on", () => {
  /** The RDS as RouterOS leaves it that stops after so many statements of the line; the caller never returns. */
  async function died(statement: number, options: StackOptions = {}): Promise<Stack> {
    const on = await start({ online: "re-export", clock, ...options }, ["node-a"]);
    on.simulator.faults.add({ kind: "cutMidway", statement }, { line: /file-size=/ });
    expect(await outcome(expand(on))).toStartWith("UNAVAILABLE: ");
    later = 60_000;
    return on;
  }

  test("what is left says so: grown, marked, not exported", async () => {
    expect(shown(await died(3))).toMatchObject({ size: LARGER, exported: false, marked: true });
  });

  test("the next publish of the same node restores the export, under the same NQN", async () => {
    const on = await died(3);
    const fresh = on.controller();
    const { nqn } = await publish(fresh, "node-a");
    expect(shown(on)).toMatchObject({ exported: true, exportedSize: LARGER, nqn, marked: false });
  });

  test("so does a publish of a second node, for a migration", async () => {
    const on = await died(3);
    const { nqn } = await publish(on.controller(), "node-b");
    expect(shown(on)).toMatchObject({ exported: true, exportedSize: LARGER, nqn, marked: false });
  });

  test("so does reconcile, which says it; an export that somebody else switched off it leaves alone", async () => {
    const on = await died(3);
    const fresh = on.controller();
    await reconcile(fresh, clock.now);
    expect(shown(on)).toMatchObject({ exported: true, exportedSize: LARGER, marked: false });
    expect(fresh.posted.map(({ reason }) => reason)).toEqual(["ExportRestored"]);
    await on.simulator.device.setDisk(on.simulator.device.disks[0]?.slot ?? "", { "nvme-tcp-export": false });
    await reconcile(fresh, clock.now);
    expect(shown(on).exported).toBe(false);
    expect(fresh.posted.map(({ reason }) => reason)).toEqual(["ExportRestored", "AttachmentDrift"]);
  });

  test("the last detach ends it: not exported, no mark", async () => {
    const on = await died(3);
    await on.controller().attachments.unpublish(ID, "node-a", on.signal);
    expect(shown(on)).toMatchObject({ size: LARGER, exported: false, marked: false });
  });

  for (const statement of [1, 2]) {
    test(`before the export goes off (statement ${statement}): publish and reconcile leave the running export alone, a repeat finishes`, async () => {
      const on = await died(statement);
      const fresh = on.controller();
      await publish(fresh, "node-a");
      await reconcile(fresh, clock.now);
      const size = statement === 1 ? SIZE : LARGER;
      expect(shown(on)).toMatchObject({ size, exported: true, exportedSize: SIZE, marked: true });
      await expand(fresh);
      expect(shown(on)).toMatchObject({ size: LARGER, exported: true, exportedSize: LARGER, marked: false });
    });
  }

  test("the controller that comes after it has another --online-expansion: the export is put right first", async () => {
    for (const statement of [1, 2, 3]) {
      const on = await died(statement);
      const refusing = on.controller({ online: "refuse" });
      const wanted = statement === 1 ? "FAILED_PRECONDITION" : "OK";
      expect((await outcome(expand(refusing))).split(":")[0]).toBe(wanted);
      expect(shown(on)).toMatchObject({ exported: true, marked: false });
    }
  });
});
