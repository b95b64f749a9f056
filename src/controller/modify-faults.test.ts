import { describe, expect, test } from "bun:test";
import { setImmediate } from "node:timers/promises";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import {
  BLOCK,
  BRISK_CLOCK,
  type ControllerStack,
  type Stack,
  type StackOptions,
} from "../../test/support/rds-stack.ts";
import type { Capability } from "../domain/access-mode.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { expand, LARGER, SIZE } from "./expansion.fixture.ts";
import { ID, modify, stored } from "./modify.fixture.ts";

/** Lost replies, crashes, late lines and other writers at the commands of ControllerModifyVolume. */
const PROFILES = ["current", "hostile", "strict", "old"] as const;
const SHARED: Capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" };
const KEYS = { ctrlLossTmo: "600", reconnectDelay: "10", keepAliveTmo: "9", migrationGuard: "warn" };
const SETTINGS = { ctrlLossTmo: 600, reconnectDelay: 10, keepAliveTmo: 9, migrationGuard: "warn" } as const;
/** What a retry heals: the outcome is open, or another writer was first. */
const AGAIN = new Set([10, 14]);

const start = useStack();

async function withVolume(options: StackOptions, nodes: readonly string[]): Promise<Stack> {
  const on = await start({ simulatorClock: BRISK_CLOCK, ...options });
  await createVolume(on, { required: SIZE, capabilities: [SHARED] });
  for (const node of nodes) await publish(on, node);
  return on;
}

const publish = (on: ControllerStack, nodeId: string) =>
  on.attachments.publish({
    ...{ volumeId: ID, nodeId, capability: SHARED, readonly: false },
    signal: AbortSignal.timeout(30_000),
  });

/** Repeats a call as the sidecars do. */
async function untilDone(call: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; attempt <= 8; attempt++) {
    try {
      await call();
      return;
    } catch (error) {
      if (!(error instanceof DriverError) || !AGAIN.has(error.code)) throw error;
    }
  }
  throw new Error("the call did not converge");
}

/** The whole device, without the comment of the volume, whose record is compared by itself. */
function everything({ simulator }: Stack) {
  const { disks, files } = simulator.device;
  const shown = disks.map((disk) => (disk.slot === ID ? { ...disk, comment: "" } : disk));
  return { disks: shown, files: [...files] };
}

describe.each(PROFILES)("every command of a change cut, profile %s", (profile) => {
  for (const [name, nodes] of [
    ["detached", []],
    ["attached", ["node-a"]],
    ["in a migration", ["node-a", "node-b"]],
  ] as const) {
    for (const kind of ["cutBefore", "cutAfter", "cutMidway"] as const) {
      test(`${name}, ${kind}: the repeat converges, and nothing else on the device changes`, async () => {
        let reached = 0;
        for (let nth = 1; ; nth++) {
          const on = await withVolume({ profile }, nodes);
          const [before, { record }] = [everything(on), stored(on)];
          const fresh = on.controller();
          await fresh.rds.version(on.signal);
          const { faults } = on.simulator;
          if (kind === "cutMidway") faults.add({ kind, statement: 1 }, { nth, line: /\/disk\/set/ });
          else faults.add({ kind }, { nth });
          await untilDone(() => modify(fresh, KEYS));
          const after = stored(on).record;
          expect(everything(on)).toEqual(before);
          expect(after.settings).toEqual({ ...record.settings, ...SETTINGS });
          expect(after).toMatchObject({ epoch: record.epoch, migration: record.migration as never });
          expect(after.attachments.map(({ node, since }) => [node, since])).toEqual(
            record.attachments.map(({ node, since }) => [node, since]),
          );
          const isCut = on.simulator.commands.some(({ outcome }) => outcome === "cut");
          faults.clear();
          if (!isCut) break;
          reached = nth;
        }
        expect(reached).toBe(kind === "cutMidway" ? 1 : 2);
      });
    }
  }
});

describe("a change whose line waits on the RDS and runs after its caller was answered otherwise", () => {
  for (const [what, then] of [
    ["the values that the volume has", { keepAliveTmo: "5" }],
    ["other values", { keepAliveTmo: "30" }],
  ] as const) {
    test(`later ${what} stay, wherever the line was held`, async () => {
      let reached = 0;
      for (let boundary = 1; ; boundary++) {
        const on = await withVolume({ switches: { interleaving: "statements" } }, ["node-a"]);
        const { faults, commands } = on.simulator;
        const controller = on.controller();
        const abort = new AbortController();
        const rule = faults.hangMidway(boundary, { line: /\/disk\/set/ });
        let ended = false;
        const late = modify(controller, { keepAliveTmo: "60" }, abort.signal)
          .catch(() => {})
          .finally(() => {
            ended = true;
          });
        while (!ended && faults.hanging === 0) await setImmediate();
        rule.remove();
        if (ended) break;
        reached = boundary;
        abort.abort(new Error("the caller gave up"));
        await late;
        await controller.transport.close();
        await untilDone(() => modify(on, then));
        faults.release();
        while (commands.some(({ finishedAt }) => finishedAt === undefined)) await setImmediate();
        expect([boundary, stored(on).record.settings.keepAliveTmo]).toEqual([
          boundary,
          Number(then.keepAliveTmo),
        ]);
      }
      expect(reached).toBeGreaterThan(1);
    });
  }

  test("and there and back again, before it runs", async () => {
    const on = await withVolume({ switches: { interleaving: "statements" } }, []);
    const { faults, commands } = on.simulator;
    const controller = on.controller();
    const abort = new AbortController();
    faults.hangMidway(2, { line: /\/disk\/set/ });
    const late = modify(controller, { keepAliveTmo: "60" }, abort.signal).catch(() => {});
    while (faults.hanging === 0) await setImmediate();
    abort.abort(new Error("the caller gave up"));
    await late;
    await controller.transport.close();
    await modify(on, { keepAliveTmo: "30" });
    await modify(on, { keepAliveTmo: "5" });
    faults.release();
    while (commands.some(({ finishedAt }) => finishedAt === undefined)) await setImmediate();
    expect(stored(on).record.settings.keepAliveTmo).toBe(5);
  });
});

describe("other writers at the same time", () => {
  test("changes of two controllers are both there", async () => {
    const on = await withVolume({}, ["node-a"]);
    const other = on.controller();
    for (let round = 6; round < 26; round++) {
      const value = String(round);
      await Promise.all([
        untilDone(() => modify(on, { keepAliveTmo: value })),
        untilDone(() => modify(other, { queueSize: String(10 + round) })),
      ]);
      expect(stored(on).record.settings).toMatchObject({ keepAliveTmo: round, queueSize: 10 + round });
    }
  });

  test("a change beside an attach, a migration, an expansion and a detach: each is done", async () => {
    const on = await withVolume({}, []);
    const others = [on.controller(), on.controller()] as const;
    for (const [value, work, nodes] of [
      ["10", () => publish(others[0], "node-a"), ["node-a"]],
      ["11", () => publish(others[1], "node-b"), ["node-a", "node-b"]],
      ["12", () => expand(others[0], LARGER), ["node-a", "node-b"]],
      ["13", () => others[1].attachments.unpublish(ID, "node-a", on.signal), ["node-b"]],
      ["14", () => others[0].attachments.unpublish(ID, "node-b", on.signal), []],
    ] as const) {
      await Promise.all([untilDone(() => modify(on, { reconnectDelay: value })), untilDone(work)]);
      const { record, disk } = stored(on);
      expect(record.settings.reconnectDelay).toBe(Number(value));
      expect(record.attachments.map(({ node }) => node)).toEqual([...nodes]);
      expect(disk.exported).toBe(nodes.length > 0);
    }
    expect(stored(on).disk.size).toBe(LARGER);
    // Each attachment had the settings of its beginning to its end.
    expect(stored(on).disk.comment).not.toContain(";o=");
  });
});
