import { expect, test } from "bun:test";
import fc from "fast-check";
import { cutClaim, cutEnd, cutMiddle, shortAge, shortDuration, tableLines } from "./text.ts";

test("durations and ages", () => {
  expect([-5, 0, 59, 60, 61, 3600, 7260, 86_400 * 3].map(shortDuration)).toEqual([
    "0s",
    "0s",
    "59s",
    "1m",
    "1m1s",
    "1h",
    "2h1m",
    "3d",
  ]);
  expect([61, 7260].map(shortAge)).toEqual(["1m", "2h"]);
});

test("tables of any content have aligned columns", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 20 }), { minLength: 1, maxLength: 5 }),
      fc.nat(60),
      (cells, width) => {
        const lines = tableLines(
          [
            { title: "A", cells, floors: [3] },
            { title: "B", cells: cells.map(() => "x") },
          ],
          width,
        );
        const at = lines.map((line) => line.length);
        expect(new Set(at).size).toBe(1);
      },
    ),
  );
});

test("a table gives way in rounds: a later column first, each only as far as needed", () => {
  const columns = [
    { title: "A", cells: ["a".repeat(20)], floors: [undefined, 4] },
    { title: "B", cells: ["b".repeat(20)], floors: [10, 10] },
  ];
  const row = (width: number) => tableLines(columns, width)[1];
  expect(row(42)).toBe(`${"a".repeat(20)}  ${"b".repeat(20)}`);
  expect(row(36)).toBe(`${"a".repeat(20)}  ${"b".repeat(13)}…`);
  expect(row(30)).toBe(`${"a".repeat(17)}…  ${"b".repeat(9)}…`);
  expect(row(1)).toBe(`aaa…  ${"b".repeat(9)}…`);
});

test("cuts keep what tells names apart, and never exceed the width", () => {
  expect(cutEnd("csi-3f5a4531819003", 13)).toBe("csi-3f5a4531…");
  expect(cutMiddle("data-rabbitmq-server-0", 14)).toBe("data-ra…rver-0");
  expect(cutClaim("production/data-rabbitmq-server-0", 20)).toBe("prod…/data-ra…rver-0");
  expect(cutClaim("production/db", 12)).toBe("producti…/db");
  fc.assert(
    fc.property(fc.string({ maxLength: 60 }), fc.integer({ min: 6, max: 60 }), (text, width) => {
      for (const cut of [cutEnd, cutMiddle, cutClaim]) {
        const shown = cut(text, width);
        expect([...shown].length).toBeLessThanOrEqual(width);
        if ([...text].length <= width) expect(shown).toBe(text);
      }
    }),
  );
});
