import { describe, expect, test } from "bun:test";
import { fastClock } from "../../test/support/clock.ts";
import { fileOf, stored } from "../../test/support/file-layouts.ts";
import { outcome, untilDone } from "../../test/support/own-stack.ts";
import { GIB, MIB, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { publish } from "./calls.fixture.ts";
import { convert, NEW, OLD } from "./convert.fixture.ts";
import { COPY, calls, fileNow, lettersOf, SIZE, SOURCE, useCopies } from "./copies.fixture.ts";

const clock = fastClock(400);
const open = useCopies();
const start = (options: Parameters<typeof open>[0] = {}) => open({ clock, ...options });
const FULL = "for want of space (failure: no space left on device); the driver had counted";

describe("a pool that is full in the middle of a copy", () => {
  test.each(["current", "hostile", "strict"] as const)(
    "RESOURCE_EXHAUSTED with the pool, nothing is left, and a copy elsewhere is made, %s",
    async (profile) => {
      const on = await start({ profile });
      const before = stored(on.simulator);
      const when = { line: /\/disk\/copy/, nth: 2, count: Number.POSITIVE_INFINITY };
      const full = on.simulator.faults.diskFull(when);
      // Maybe no call waits when it fails: then the next one is told.
      const said = await outcome(untilDone(() => calls.copy(on), 40));
      expect(said).toStartWith(
        `RESOURCE_EXHAUSTED: RouterOS refused 2Mi in pool storage-pool ${FULL.split(" (")[0]} (`,
      );
      expect(stored(on.simulator)).toEqual(before);
      full.remove();
      await untilDone(() => calls.copy(on, { pool: "usb2" }), 40);
      expect(await lettersOf(on, `usb2/csi/${COPY}.img`)).toBe("ABC");
    },
  );

  /** Holds the line of the second part, for which there is no room. */
  const held = async (on: Stack, count = 1): Promise<void> => {
    const when = { line: /\/disk\/copy/, nth: 2 };
    on.simulator.faults.diskFull({ ...when, count });
    on.simulator.faults.hang(when);
    await until("the part is held", async () => {
      if (on.simulator.faults.hanging === 0) await outcome(calls.copy(on));
      return on.simulator.faults.hanging > 0;
    });
  };

  test.each([
    ["the pool cannot be read", /mounted/],
    ["the half copy cannot be removed", /\/disk\/remove/],
  ])("while %s: the refusal is told all the same, and nothing is left", async (_, line) => {
    const on = await start();
    const before = stored(on.simulator);
    await held(on);
    const cut = on.simulator.faults.cutBefore({ line });
    on.simulator.faults.release();
    if (line.test("mounted")) await until("the look at the pool is cut off", () => cut.hits > 0);
    expect(await outcome(untilDone(() => calls.copy(on), 40))).toStartWith("RESOURCE_EXHAUSTED: ");
    expect([cut.hits, stored(on.simulator)]).toEqual([1, before]);
  });

  test("while nobody asks: the next call says it, and nothing is left", async () => {
    const on = await start();
    const before = stored(on.simulator);
    await held(on, Number.POSITIVE_INFINITY);
    on.simulator.faults.release();
    expect(await outcome(untilDone(() => calls.copy(on), 40))).toStartWith("RESOURCE_EXHAUSTED: ");
    expect(stored(on.simulator)).toEqual(before);
  });

  test("of a conversion: the volume is as it was, and the same command goes on", async () => {
    const on = await start({ first: "btrfs" });
    on.simulator.faults.add({ kind: "diskFull" }, { line: /\/disk\/copy/, nth: 2 });
    const said = `RESOURCE_EXHAUSTED: volume ${SOURCE} is not moved into a subvolume yet: RouterOS refused`;
    expect(await outcome(convert(on.controller(), clock))).toStartWith(
      `${said} 2Mi in pool storage-pool ${FULL}`,
    );
    expect([on.simulator.device.disk(SOURCE)?.filePath, await lettersOf(on, OLD)]).toEqual([OLD, "ABC"]);
    await convert(on.controller(), clock);
    expect([on.simulator.device.file(OLD), await lettersOf(on, NEW)]).toEqual([undefined, "ABC"]);
  });

  test.each([
    ["the reserve", "prealloc", GIB],
    ["what thin volumes are promised", "sparse", 0n],
  ] as const)("a conversion takes no room from %s", async (_, allocation, reserveBytes) => {
    const on = await start({ first: "btrfs", reserveBytes, switches: { allocation } });
    const { device } = on.simulator;
    // Of the new file 2 MiB have room.
    const room = allocation === "sparse" ? 64n * GIB - SIZE : device.freeBytes("storage-pool") - GIB;
    for (const [slot, size] of [
      ["one", room / 2n - MIB],
      ["other", room / 2n - MIB],
    ] as const)
      await device.addForeignDisk({ slot, path: `storage-pool/others/${slot}.img`, size });
    expect(device.freeBytes("storage-pool")).toBeGreaterThan(SIZE);
    const before = device.disk(SOURCE);
    expect(await outcome(convert(on.controller(), clock))).toMatch(
      /^RESOURCE_EXHAUSTED: volume .* is not moved into a subvolume yet: pool storage-pool has [12]Mi left for volumes by the driver's own count, 3Mi are needed/,
    );
    expect(device.disk(SOURCE)).toEqual(before);
  });

  test("before the copy of a conversion: the same, and it can be given up", async () => {
    const on = await start({ first: "btrfs" });
    on.simulator.faults.add({ kind: "diskFull" }, { line: /subvolume\/add/, count: 100 });
    const by = on.controller();
    const { conversions } = by.rds;
    expect(await outcome(convert(by, clock))).toStartWith(
      `RESOURCE_EXHAUSTED: volume ${SOURCE} is not moved into a subvolume yet: RouterOS refused 3Mi in pool storage-pool ${FULL}`,
    );
    await conversions.abort(await conversions.look(SOURCE, on.signal), on.signal);
    expect(on.simulator.device.subvolumes).toEqual([]);
    await publish(on, SOURCE, "node-a");
  });
});

describe.each(["gone", "empty"] as const)(
  "a power loss that leaves the item of the new file, which is %s",
  (how) => {
    /** Holds the line of the second part, and removes the file that it copies into, or its bytes. */
    const lost = async (on: Stack, work: () => Promise<unknown>, file: string): Promise<void> => {
      const { faults, device } = on.simulator;
      faults.hang({ line: /\/disk\/copy/, nth: 2 });
      await until("the part is held", async () => {
        if (faults.hanging === 0) await work();
        return faults.hanging > 0;
      });
      const entry = device.file(file);
      if (entry === undefined) throw new Error("there is no copy");
      if (how === "gone") await device.fileStore.remove(entry);
      else entry.size = 0n;
      await on.simulator.reboot();
    };

    test.each([
      ["xfs", "plain"],
      ["btrfs", "subvolume"],
    ] as const)("a copy begins anew, on %s", async (first, layout) => {
      const on = await start({ first });
      const file = fileOf(COPY, layout);
      await lost(on, () => outcome(calls.copy(on)), file);
      await untilDone(() => calls.copy(on), 100);
      expect([fileNow(on, COPY), await lettersOf(on, file)]).toEqual([file, "ABC"]);
    });

    test("a conversion begins anew", async () => {
      const on = await start({ first: "btrfs" });
      const given: Promise<void>[] = [];
      await lost(on, async () => given.length > 0 || given.push(convert(on.controller(), clock)), NEW);
      await Promise.all(given);
      expect([on.simulator.device.file(OLD), await lettersOf(on, NEW)]).toEqual([undefined, "ABC"]);
    });
  },
);

describe("a new file that shows no size", () => {
  test("of a copy, and young: it is left alone, as a large file takes its time", async () => {
    const slow = fastClock(20);
    const on = await start({ clock: slow, simulatorClock: slow });
    on.simulator.setSwitches({ readyDelayMs: 1e9 });
    const call = () => outcome(calls.copy(on));
    expect(await call()).toStartWith("UNAVAILABLE: ");
    const file = on.simulator.device.file(fileOf(COPY, "plain"));
    if (file === undefined) throw new Error("there is no file");
    file.size = 0n;
    expect(await call()).toStartWith("UNAVAILABLE: ");
    expect(on.simulator.commands.filter(({ line }) => line.includes("/disk/remove"))).toEqual([]);
  });

  test("of a conversion, however long: it is made anew once, then the command ends, and the volume is as it was", async () => {
    const on = await start({ first: "btrfs" });
    on.simulator.setSwitches({ readyDelayMs: 1e9 });
    expect(await outcome(convert(on.controller(), clock))).toStartWith("UNAVAILABLE: ");
    const given = on.simulator.commands.filter(({ line }) =>
      /\/disk\/remove \[\/disk\/find where slot="?new-/.test(line),
    );
    expect(given).toHaveLength(1);
    expect([on.simulator.device.disk(SOURCE)?.filePath, await lettersOf(on, OLD)]).toEqual([OLD, "ABC"]);
  });
});

describe("a device that makes no item on a file that is there", () => {
  test.each(["xfs", "btrfs"] as const)(
    "a copy is refused at its end, and nothing is left, on %s",
    async (first) => {
      const on = await start({ first, switches: { existingFile: "error" } });
      const before = stored(on.simulator);
      expect(await outcome(untilDone(() => calls.copy(on), 40))).toStartWith(
        `INTERNAL: finish the copied volume ${COPY}`,
      );
      expect(stored(on.simulator)).toEqual(before);
    },
  );

  test("a line that ends between the two items: the file is found again, and the copy begins anew", async () => {
    const on = await start();
    const line = /\/disk\/remove .*\/disk\/add/;
    on.simulator.faults.cutMidway(1, { line });
    await untilDone(() => calls.copy(on), 40);
    expect(
      on.simulator.commands.filter((each) => line.test(each.line)).map(({ outcome }) => outcome),
    ).toEqual(["cut", "ok"]);
    expect(await lettersOf(on, fileNow(on, COPY))).toBe("ABC");
    expect(stored(on.simulator).filter((each) => each.includes(COPY))).toHaveLength(2);
  });
});
