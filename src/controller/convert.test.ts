import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { noneDead } from "../../test/support/file-layouts.ts";
import { createVolume, outcome, untilDone } from "../../test/support/own-stack.ts";
import { MIB, type Stack, type StackOptions } from "../../test/support/rds-stack.ts";
import type { WholeState } from "../../test/support/simulator-state.ts";
import { until } from "../../test/support/until.ts";
import type { FaultAction } from "../simulator/faults.ts";
import { publish } from "./calls.fixture.ts";
import { convert, NEW, OLD, safeCopies } from "./convert.fixture.ts";
import { calls, fill, lettersOf, SIZE, SOURCE, SOURCE_NAME, stateOf, useCopies } from "./copies.fixture.ts";

const begin = useCopies();
const clock = fastClock(400);
const start = (options: StackOptions = {}) => begin({ first: "btrfs", clock, ...options });

const DEVICES: Readonly<Record<string, StackOptions>> = {
  current: { profile: "current" },
  hostile: { profile: "hostile" },
  strict: { profile: "strict" },
  old: { profile: "old" },
};

const stateAfter = async (options: StackOptions): Promise<WholeState> => {
  const on = await start(options);
  await convert(on.controller(), clock);
  const state = await stateOf(on);
  expect(await lettersOf(on, NEW)).toBe("ABC");
  await on.close();
  return state;
};

describe("a conversion", () => {
  test("keeps handle, record and epoch; the volume can be snapshotted then", async () => {
    const on = await start();
    await publish(on, SOURCE, "node-a");
    await on.attachments.unpublish(SOURCE, "node-a", on.signal);
    const before = on.simulator.device.disk(SOURCE)?.comment ?? "";
    await convert(on.controller(), clock);
    const { device } = on.simulator;
    expect(device.disk(SOURCE)?.comment).toBe(before.replace(/(;t=\d+)/, "$1;l=subvolume"));
    expect(device.disks.map(({ slot }) => slot)).toEqual([SOURCE]);
    expect([device.file(OLD), await lettersOf(on, NEW)]).toEqual([undefined, "ABC"]);
    await on.snapshots.create({ name: "s", source: SOURCE, parameters: {}, signal: on.signal });
    await publish(on, SOURCE, "node-a");
    const wish = { name: SOURCE_NAME, required: SIZE };
    expect((await createVolume(on, wish)).nodes).toEqual(["node-a"]);
  });

  test("of a volume in a subvolume does nothing", async () => {
    const on = await start();
    await convert(on.controller(), clock);
    const before = await stateOf(on);
    await convert(on.controller(), clock);
    expect(await stateOf(on)).toEqual(before);
  });

  test("is refused for an attached volume, and on a pool without subvolumes", async () => {
    const on = await start();
    await publish(on, SOURCE, "node-a");
    const before = await stateOf(on);
    expect(await outcome(convert(on.controller(), clock))).toBe(
      `FAILED_PRECONDITION: volume ${SOURCE} cannot be moved into a subvolume: it is attached to node-a`,
    );
    expect(await stateOf(on)).toEqual(before);
    const xfs = await begin({ first: "xfs", clock });
    expect(await outcome(convert(xfs.controller(), clock))).toBe(
      `FAILED_PRECONDITION: volume ${SOURCE} cannot be moved into a subvolume: pool storage-pool cannot hold subvolumes (xfs)`,
    );
  });
});

for (const [name, options] of Object.entries(DEVICES)) {
  describe(`every RouterOS command of a conversion disturbed, ${name}`, () => {
    /** Disturbs the n-th command; the process dies, another one goes on. At no time the only record or data is lost. */
    const disturbed = async (
      expected: WholeState,
      { nth, line, ...action }: FaultAction & { readonly nth?: number; readonly line?: RegExp },
    ): Promise<boolean> => {
      const on = await start(options);
      await noneDead(on);
      const first = on.controller();
      await first.rds.version(on.signal);
      const when = { ...(nth === undefined ? {} : { nth }), ...(line === undefined ? {} : { line }) };
      const fault = on.simulator.faults.add(action, when);
      const stop = new AbortController();
      const given = convert(first, clock, stop.signal).catch(() => {});
      const isStruck = () =>
        action.kind === "truncateOutput"
          ? fault.hits > 0
          : on.simulator.commands.some(({ outcome: how }) => how === "cut");
      let ended = false;
      void given.then(() => {
        ended = true;
      });
      await until("it is struck, or has ended", () => ended || isStruck());
      stop.abort();
      await first.transport.close();
      await given;
      const what = { action, ...when };
      const safe = await safeCopies(on, (file) => lettersOf(on, file));
      expect({ what, record: safe.records > 0, data: safe.data > 0 }).toEqual({
        what,
        record: true,
        data: true,
      });
      await convert(on.controller(), clock);
      expect({ what, state: await stateOf(on) }).toEqual({ what, state: expected });
      const struck = isStruck();
      await on.close();
      return struck;
    };

    test("the connection is cut before or behind a command", async () => {
      const expected = await stateAfter(options);
      for (const kind of ["cutBefore", "cutAfter"] as const) {
        let nth = 1;
        while (await disturbed(expected, { kind, nth })) nth += 1;
        expect(nth).toBeGreaterThan(15);
      }
    });

    test.each([
      ["make", /subvolume\/add/],
      ["copy", /\/disk\/copy/],
      ["switch", /:local tidy/],
      ["tidy", /\/file\/remove/],
    ] as const)("RouterOS stops after each statement of %s", async (_, line) => {
      const expected = await stateAfter(options);
      let statement = 1;
      while (await disturbed(expected, { kind: "cutMidway", statement, line })) statement += 1;
      expect(statement).toBeGreaterThan(1);
    });
  });
}

describe("calls for a volume on its way into a subvolume", () => {
  const converting = `FAILED_PRECONDITION: volume ${SOURCE} is being moved into a subvolume`;
  const refusedAll = async (on: Stack): Promise<void> => {
    const other = on.controller();
    const before = await stateOf(on);
    const expand = {
      volumeId: SOURCE,
      range: { requiredBytes: 9n * MIB, limitBytes: 0n },
      capability: undefined,
    };
    for (const call of [
      () => calls.source(other),
      () => publish(other, SOURCE, "node-a"),
      () => other.volumes.delete(SOURCE, on.signal),
      () => other.expansions.expand({ ...expand, signal: on.signal }),
      () => other.snapshots.create({ name: "s", source: SOURCE, parameters: {}, signal: on.signal }),
      () => calls.copy(other),
    ])
      expect(await outcome(call())).toBe(converting);
    await other.attachments.unpublish(SOURCE, "", on.signal);
    expect(await stateOf(on)).toEqual(before);
  };

  test.each([
    ["while it is copied", /\/disk\/copy/],
    ["before the switch", /:local tidy/],
    ["before the old file goes", /\/file\/remove \$rest/],
  ] as const)("%s: refused with the reason", async (_, line) => {
    const on = await start();
    const { faults } = on.simulator;
    faults.hang({ line });
    const given = convert(on.controller(), clock);
    await until("the line is held", () => faults.hanging > 0);
    await refusedAll(on);
    faults.release();
    await given;
    expect(await lettersOf(on, NEW)).toBe("ABC");
  });

  test("between the items of the switch: nothing is made or deleted in its slot", async () => {
    for (let boundary = 1; ; boundary++) {
      const on = await start();
      const { faults } = on.simulator;
      const rule = faults.hangMidway(boundary, { line: /:local tidy/ });
      let ended = false;
      const given = convert(on.controller(), clock).finally(() => {
        ended = true;
      });
      await until("the line is held, or has ended", () => ended || faults.hanging > 0);
      rule.remove();
      if (ended) {
        expect(boundary).toBeGreaterThan(6);
        break;
      }
      const other = on.controller();
      if (on.simulator.device.disk(SOURCE) === undefined) {
        expect({ boundary, said: await outcome(calls.source(other)) }).toEqual({
          boundary,
          said: converting,
        });
        expect((await outcome(other.volumes.delete(SOURCE, on.signal))).split(":")[0]).toBe(
          "FAILED_PRECONDITION",
        );
        expect(await outcome(publish(other, SOURCE, "node-a"))).toBe(converting);
      } else await refusedAll(on);
      faults.release();
      await given;
      expect(await lettersOf(on, NEW)).toBe("ABC");
      await on.close();
    }
  });
});

test("lines of a process that died, released after another one has converted the volume, change nothing", async () => {
  for (const line of [/\/disk\/copy/, /:local tidy/, /\/file\/remove \$rest/, /subvolume\/add/]) {
    for (let boundary = 1; ; boundary++) {
      const on = await start({ switches: { interleaving: "statements", clientDisconnect: "completes" } });
      const { faults, commands } = on.simulator;
      const first = on.controller();
      const stop = new AbortController();
      const rule = faults.hangMidway(boundary, { line });
      let ended = false;
      const given = convert(first, clock, stop.signal)
        .catch(() => {})
        .finally(() => {
          ended = true;
        });
      await until("the line is held, or has ended", () => ended || faults.hanging > 0);
      rule.remove();
      if (ended) {
        await on.close();
        break;
      }
      stop.abort();
      await first.transport.close();
      await given;
      await convert(on.controller(), clock);
      await publish(on, SOURCE, "node-a");
      await fill(on, NEW, ["x", "y", "z"]);
      const before = await stateOf(on);
      faults.release();
      await until("all lines have ended", () => commands.every(({ finishedAt }) => finishedAt !== undefined));
      expect({ line, boundary, state: await stateOf(on) }).toEqual({ line, boundary, state: before });
      await on.close();
    }
  }
});

test("two processes at once", async () => {
  const on = await start();
  await Promise.all([on, on.controller()].map((each) => untilDone(() => convert(each, clock))));
  expect(await lettersOf(on, NEW)).toBe("ABC");
  expect(on.simulator.device.disks.map(({ slot }) => slot)).toEqual([SOURCE]);
});

describe("before its switch", () => {
  /** A process that died there, on a device that never gets its line. */
  const begun = async (): Promise<Stack> => {
    const on = await start();
    const [stop, first] = [new AbortController(), on.controller()];
    const rule = on.simulator.faults.hang({ line: /:local tidy/ });
    const given = outcome(convert(first, clock, stop.signal));
    await until("the line is held", () => on.simulator.faults.hanging > 0);
    rule.remove();
    stop.abort();
    await first.transport.close();
    await given;
    return on;
  };

  test("an earlier record is put back by hand, and the volume is written: its copy is not taken for whole", async () => {
    const on = await begun();
    const { device } = on.simulator;
    const comment = device.disk(SOURCE)?.comment.replace("rds2;", "rds1;").replace(";y=copy", "") ?? "";
    await device.setDisk(SOURCE, { comment });
    await fill(on, OLD, ["x", "y", "z"]);
    const before = await stateOf(on);
    expect(await outcome(convert(on.controller(), clock))).toMatch(
      /^FAILED_PRECONDITION: .*: disk item new-[0-9a-f]{28} is left of another conversion/,
    );
    expect(await stateOf(on)).toEqual(before);
  });

  test("its new file is gone: it ends with an error after some attempts, and the old file stays", async () => {
    const on = await begun();
    const { device } = on.simulator;
    const file = device.file(NEW);
    if (file === undefined) throw new Error("there is no copy");
    await device.fileStore.remove(file);
    expect(await outcome(convert(on.controller(), clock))).toMatch(/^UNAVAILABLE: .*switch/);
    expect(await lettersOf(on, OLD)).toBe("ABC");
  });
});

describe("doubts about the device", () => {
  test.each([{ sharedFile: "shared" }, { existingFile: "grow" }, { copyStatus: "human" }] as const)(
    "%o: converted all the same",
    async (switches) => {
      const on = await start({ switches });
      await convert(on.controller(), clock);
      expect([await lettersOf(on, NEW), on.simulator.device.disks.length]).toEqual(["ABC", 1]);
    },
  );

  test("an item on a file that is there is refused: that shows before the volume's own item is touched", async () => {
    const on = await start({ switches: { existingFile: "error" } });
    const before = await stateOf(on);
    const refused = "INTERNAL: note that volume csi-f2868e1aa7cab669517cd9f5ab1b is copied into a subvolume";
    expect(await outcome(convert(on.controller(), clock))).toStartWith(refused);
    const { device } = on.simulator;
    expect([device.disk(SOURCE)?.filePath, await lettersOf(on, OLD)]).toEqual([OLD, "ABC"]);
    for (let statement = 1; device.disk(SOURCE)?.comment.startsWith("rds2;"); statement += 1) {
      on.simulator.faults.add({ kind: "cutMidway", statement });
      const by = on.controller();
      await untilDone(async () =>
        by.rds.conversions.abort(await by.rds.conversions.look(SOURCE, on.signal), on.signal),
      ).catch(() => {});
    }
    await noneDead(on);
    expect(await stateOf(on)).toEqual(before);
    await publish(on, SOURCE, "node-a");
  });

  test("a copy that the device does not prove is not used", async () => {
    const on = await start({ switches: { copyStatus: "none" } });
    expect(await outcome(convert(on.controller(), clock))).toStartWith("FAILED_PRECONDITION: ");
    const { comment = "", filePath } = on.simulator.device.disk(SOURCE) ?? {};
    expect([comment.includes(";y=copy"), filePath]).toEqual([true, OLD]);
  });
});
