import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { fileOf } from "../../test/support/file-layouts.ts";
import { untilDone } from "../../test/support/own-stack.ts";
import type { ControllerStack, Stack, StackOptions } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { isCopyTarget } from "../rds/copy.ts";
import { ownVolume } from "../rds/volume.ts";
import type { FaultAction, FaultWhen } from "../simulator/faults.ts";
import { publish } from "./calls.fixture.ts";
import { convert, NEW, OLD, safeCopies } from "./convert.fixture.ts";
import { COPY, calls, fileNow, fill, lettersOf, SOURCE, useCopies } from "./copies.fixture.ts";

/**
 * The RDS loses power while it copies: what it wrote a short time ago is lost, records stay. The device is off for longer than two beginnings of a
 * run may differ.
 */
const LOST_SECONDS = 20;
/** As `SETTLE_MS` to what a device may lose. */
const SETTLE = 40_000;
const begin = useCopies();
const clock = fastClock(400);
const start = (options: StackOptions = {}): Promise<Stack> =>
  begin({ first: "btrfs", clock, settleMs: SETTLE, switches: { rebootMs: 15_000 }, ...options });

const DEVICES: Readonly<Record<string, StackOptions>> = {
  current: { profile: "current" },
  hostile: { profile: "hostile" },
};

/** The two uses of a copy: what is done, and the files with its result. */
const WORKS = {
  clone: {
    run: (on: ControllerStack) => untilDone(() => calls.copy(on), 100),
    file: (on: Stack) => fileNow(on, COPY),
    lines: /\/disk\/copy|\/disk\/remove .*\/disk\/add/,
  },
  conversion: {
    run: (on: ControllerStack) => convert(on, clock, AbortSignal.timeout(60_000), SETTLE),
    file: () => NEW,
    lines: /\/disk\/copy|\/disk\/remove .*\/disk\/add|\/file\/remove \$rest/,
  },
} as const;
type Work = keyof typeof WORKS;

/** Does the work while power is lost where the fault holds a line; says whether it held one. */
async function disturbed(
  options: StackOptions,
  kind: Work,
  action: FaultAction & { readonly kind: "hang" | "hangMidway" },
  when: FaultWhen,
): Promise<boolean> {
  const { run, file } = WORKS[kind];
  const on = await start(options);
  const { faults } = on.simulator;
  const fresh = on.controller();
  await fresh.rds.version(on.signal);
  const rule = faults.add(action, when);
  let ended = false;
  const given = run(fresh).finally(() => {
    ended = true;
  });
  given.catch(() => {});
  await until("a line is held, or the work has ended", () => ended || faults.hanging > 0);
  rule.remove();
  const isHeld = faults.hanging > 0;
  const what = { kind, action, when };
  if (isHeld) {
    await on.simulator.powerLoss(LOST_SECONDS);
    const safe = await safeCopies(on, (each) => lettersOf(on, each));
    expect({ what, data: safe.data > 0 }).toEqual({ what, data: true });
  }
  await given;
  expect({ what, letters: await lettersOf(on, file(on)) }).toEqual({ what, letters: "ABC" });
  // What is finished is on the disks.
  await on.simulator.powerLoss(LOST_SECONDS);
  expect({ what, later: await lettersOf(on, file(on)) }).toEqual({ what, later: "ABC" });
  await on.close();
  return isHeld;
}

for (const kind of Object.keys(WORKS) as Work[])
  describe(`the RDS loses power during a ${kind}`, () => {
    test.each(Object.entries(DEVICES))("before each of its lines, %s", async (_, options) => {
      let nth = 1;
      while (await disturbed(options, kind, { kind: "hang" }, { nth })) nth += 1;
      expect(nth).toBeGreaterThan(9);
    });

    // The first part, the last one, and the end.
    test.each([1, 3, 4])("within line %d of those that copy or end", async (nth) => {
      const when = { line: WORKS[kind].lines, nth };
      let boundary = 1;
      while (await disturbed({}, kind, { kind: "hangMidway", boundary }, when)) boundary += 2;
      expect(boundary).toBeGreaterThan(4);
    });
  });

/** Waits until all parts are copied, whether that is known or not. */
const copied = (on: Stack, file = fileOf(COPY, "subvolume")): Promise<void> =>
  until("all parts are copied", async () => (await lettersOf(on, file).catch(() => "")) === "ABC");

describe("the RDS restarts between the look at a copy and its line", () => {
  /** A copy whose three parts are copied, and which waits. */
  async function whole(): Promise<Stack> {
    const on = await start();
    const by = on.controller();
    let isDead = false;
    const given = untilDone(async () => isDead || calls.copy(by), 100).catch(() => {});
    await copied(on);
    await until("no line runs", () => on.simulator.commands.every(({ outcome }) => outcome !== "running"));
    isDead = true;
    await by.copies.close();
    await by.transport.close();
    await given;
    return on;
  }

  test("neither a part nor the end of the copy counts", async () => {
    const on = await whole();
    const { copies } = on.rds;
    const { target: found, source: from, boot } = await copies.ends(COPY, SOURCE, on.signal);
    const [target, source] = [ownVolume(found), ownVolume(from)];
    if (target === undefined || !isCopyTarget(target) || source === undefined) throw new Error("no copy");
    await on.simulator.powerLoss(LOST_SECONDS);
    expect(await lettersOf(on, fileNow(on, COPY))).not.toBe("ABC");
    const before = on.simulator.device.disks;
    const part = { target, source, done: 2n << 20n, size: 1n << 20n, boot, signal: on.signal };
    expect(await untilDone(() => copies.chunk(part))).toEqual({ kind: "changed" });
    expect(await copies.finish(target, on.signal)).toBeUndefined();
    expect(on.simulator.device.disks).toEqual(before);
    await untilDone(() => calls.copy(on), 100);
    expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
  });

  test("a record that names no run of the device counts nothing", async () => {
    const on = await whole();
    const { device } = on.simulator;
    const comment = device.disk(COPY)?.comment ?? "";
    const old = comment.replace(/(;k=\d+,\d+,\d+,\d+,[0-9a-f]{8},-),\d+,\d+/, "$1");
    expect(old).not.toBe(comment);
    await device.setDisk(COPY, { comment: old });
    await device.writeFile(fileNow(on, COPY), 0n, "?");
    await untilDone(() => calls.copy(on), 100);
    expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
  });

  test("a conversion does not come to its switch", async () => {
    const on = await start();
    const by = on.controller();
    const stop = new AbortController();
    const given = convert(by, clock, stop.signal, SETTLE).catch(() => {});
    await copied(on, NEW);
    stop.abort();
    await given;
    const { conversions } = by.rds;
    const target = conversions.target(await conversions.look(SOURCE, on.signal));
    if (target === undefined) throw new Error("no copy");
    await on.simulator.powerLoss(LOST_SECONDS);
    expect(await untilDone(() => conversions.copied(target, on.signal))).toBe(false);
    await convert(on.controller(), clock, on.signal, SETTLE);
    expect([on.simulator.device.file(OLD), await lettersOf(on, NEW)]).toEqual([undefined, "ABC"]);
  });
});

test("a source that is attached once all parts are copied takes nothing away", async () => {
  const on = await start();
  const given = untilDone(() => calls.copy(on), 100);
  await copied(on);
  await publish(on, SOURCE, "node-a");
  await fill(on, fileNow(on, SOURCE), ["x", "y", "z"]);
  await given;
  expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
});
