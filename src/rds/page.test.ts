import { describe, expect, spyOn, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { useStack } from "../../test/support/own-stack.ts";
import type { Stack } from "../../test/support/rds-stack.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import { detailForm } from "../routeros/reply/detail-form.ts";
import { linesForm } from "../routeros/reply/lines-form.ts";
import { fill } from "./many-disks.fixture.ts";
import { cutPart, isBefore, ORDERED_SLOTS, patternOf } from "./slot-parts.ts";

const start = useStack();
const names = (count: number) => Array.from({ length: count }, (_, at) => `pvc-${at}`);

/** All pages, each asked for with the last handle of the one before. */
async function pages(on: Stack, most: number): Promise<VolumeId[][]> {
  const found: VolumeId[][] = [];
  for (let after = ""; ; ) {
    const { entries, isCut } = await on.volumes.list(on.signal, { after, most });
    found.push(entries.map(({ id }) => id));
    if (!isCut) return found;
    after = entries.at(-1)?.id ?? "";
  }
}

/** The most disks that one reply had since a command. */
const largest = (on: Stack, from: number) =>
  Math.max(...on.simulator.commands.slice(from).map(({ output }) => output.split('"slot":').length - 1));

describe("pages of volumes", () => {
  test("hold each volume once and in order, whatever their size; none has more than was asked for", async () => {
    const on = await start({ profile: "current" });
    await fill(on, names(600), ["csi-zebra", "csi-", "vm-1"]);
    const all = names(600).map(volumeIdFromName).toSorted();
    for (const most of [0, 1_000, 600, 599, 250, 97]) {
      const found = await pages(on, most);
      expect(found.flat()).toEqual(all);
      for (const page of found) expect(page.length).toBeLessThanOrEqual(most || 600);
      expect(found.length).toBe(most === 0 ? 1 : Math.ceil(600 / most));
    }
  });

  test("volumes of the earlier driver follow those of this one, across pages", async () => {
    const on = await start({ profile: "current" });
    const adopted = names(300).map((name) => {
      const hex = createHash("md5").update(name).digest("hex");
      return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "pvc-$1-$2-$3-$4-$5") as VolumeId;
    });
    await fill(on, names(300), adopted, undefined, names(300));
    const all = [...names(300).map(volumeIdFromName), ...adopted].toSorted();
    for (const most of [0, 290, 70]) expect((await pages(on, most)).flat()).toEqual(all);
  });

  for (const [name, options] of [
    ["marked lines", { forms: [linesForm] }],
    ["detail text", { forms: [detailForm], switches: { wrapWidth: 80 } }],
    ["a device without proplist", { switches: { proplist: "missing" } }],
  ] as const) {
    test(`are the same from ${name}`, async () => {
      const on = await start({ profile: "current", ...options });
      await fill(on, names(200));
      expect((await pages(on, 90)).flat()).toEqual(names(200).map(volumeIdFromName).toSorted());
    });
  }

  test("a long list collects the garbage of its replies on the way", async () => {
    const on = await start({ profile: "current" });
    await fill(on, names(4_100));
    const collect = spyOn(Bun, "gc");
    try {
      await on.volumes.list(on.signal);
      expect(collect.mock.calls.length).toBeWithin(2, 4);
    } finally {
      collect.mockRestore();
    }
  });

  test("a page costs the same commands on a device with 600 and with 2,400 volumes, and no reply has more than a few hundred", async () => {
    const counts: number[] = [];
    for (const volumes of [600, 2_400]) {
      const on = await start({ profile: "current" });
      await fill(on, names(volumes));
      await on.rds.version(on.signal);
      const from = on.simulator.commands.length;
      const { entries } = await on.volumes.list(on.signal, { after: "", most: 50 });
      expect(entries).toHaveLength(50);
      counts.push(on.simulator.commands.length - from);
      await on.volumes.list(on.signal);
      expect(largest(on, from)).toBeLessThan(263);
    }
    expect(counts).toEqual([4, 4]);
  });

  test("volumes that come and go between two pages are neither skipped nor repeated", async () => {
    const on = await start({ profile: "current" });
    await fill(on, names(400));
    const all = names(400).map(volumeIdFromName).toSorted();
    const first = await on.volumes.list(on.signal, { after: "", most: 150 });
    const { diskStore } = on.simulator.device;
    const last = first.entries.at(-1)?.id as VolumeId;
    for (const id of [all[3], last, all[200]]) {
      const item = diskStore.bySlot(id as string);
      if (item !== undefined) diskStore.remove(item);
    }
    const rest = await on.volumes.list(on.signal, { after: last, most: 0 });
    expect(rest.entries.map(({ id }) => id)).toEqual(all.filter((id) => id > last && id !== all[200]));
  });

  test("callers who wait for the same page share it", async () => {
    const on = await start({ profile: "current", latencyMs: 20 });
    await fill(on, names(300));
    await on.rds.version(on.signal);
    const from = on.simulator.commands.length;
    await on.volumes.list(on.signal);
    const once = on.simulator.commands.length - from;
    const lists = await Promise.all(Array.from({ length: 50 }, () => on.volumes.list(on.signal)));
    expect(new Set(lists).size).toBe(2);
    expect(on.simulator.commands.length - from).toBe(3 * once);
  });
});

test("a part counts as passed only if none of its slots can follow the token", () => {
  const hex = fc.stringMatching(/^[0-9a-f]{28}$/);
  fc.assert(
    fc.property(
      fc.constantFrom(...ORDERED_SLOTS),
      fc.array(fc.integer({ min: 2, max: 20 }), { minLength: 1, maxLength: 3 }),
      hex,
      hex,
      ({ prefix, part }, counts, slotDigits, tokenDigits) => {
        const [slot, token] = [prefix + slotDigits, prefix + tokenDigits];
        let parts = [part];
        for (const count of counts) {
          parts = parts.flatMap((each) => cutPart(each, count));
          const holding = parts.filter((each) => new RegExp(patternOf(each)).test(slot));
          expect(holding).toHaveLength(1);
          parts = holding;
          if (slot > token) expect(holding.some((each) => isBefore(prefix, each, token))).toBe(false);
        }
      },
    ),
    { numRuns: 300 },
  );
});
