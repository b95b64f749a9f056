import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { countCommands, countPrograms, countSizes, noPrograms, overBudget, recorded } from "./budgets.ts";
import { programsOf } from "./started-programs.ts";
import { holds, type Results, table, withTable } from "./table.ts";

// Counts only; scripts/bench measures times.

test("no call sends more RouterOS commands, or has longer lines and replies, than recorded", async () => {
  expect(overBudget(await countCommands(), await recorded())).toEqual([]);
}, 300_000);

test.skipIf(noPrograms !== "")(
  `no call of a node starts more programs than recorded ${noPrograms}`.trim(),
  async () => {
    expect(overBudget(await countPrograms(), await recorded())).toEqual([]);
  },
  300_000,
);

test("the executable, and the image where it is built, are not larger than recorded", async () => {
  expect(overBudget(await countSizes(), await recorded())).toEqual([]);
});

test("a count over its record by more than a tenth, or without a record, is named with the command that records it", () => {
  const record = { "CreateVolume, commands": 2, "executable, bytes": 1_000, gone: 5 };
  expect(overBudget({ "CreateVolume, commands": 2, "executable, bytes": 1_100 }, record)).toEqual([]);
  expect(overBudget({ "CreateVolume, commands": 3, "executable, bytes": 1_101, fresh: 1 }, record)).toEqual([
    "CreateVolume, commands: 3, over the recorded 2 by more than a tenth. If that is meant to be, record it: scripts/bench --record",
    "executable, bytes: 1101, over the recorded 1000 by more than a tenth. If that is meant to be, record it: scripts/bench --record",
    "fresh: 1, and no count is recorded. If that is meant to be, record it: scripts/bench --record",
  ]);
});

test("programs are counted once each, and failed starts are not", () => {
  const trace = [
    '11 execve("/usr/bin/blkid", ["blkid"], 0x7ffc /* 2 vars */) = 0',
    '12 execve("/bin/none", ["none"], 0x7ffc /* 2 vars */) = -1 ENOENT (No such file or directory)',
    '13 execve("/usr/bin/stat", ["stat"], 0x7ffc /* 2 vars */ <unfinished ...>',
    "11 +++ exited with 0 +++",
    "13 <... execve resumed>) = 0",
  ];
  expect(programsOf(trace.join("\n"))).toEqual(["blkid", "stat"]);
});

test("a table says whether each goal holds, and docs/performance.md has a place for it", () => {
  const rows = [
    { name: "a", value: 3, unit: "s", goal: { most: 2 } },
    { name: "b", value: 3, unit: "ms", beside: { name: "c", value: 2 }, goal: { factor: 1.5 } },
    { name: "d", value: 1, unit: "MB" },
  ] as const;
  expect(rows.map(holds)).toEqual([false, true, undefined]);
  expect(table(rows).split("\n").slice(2)).toEqual([
    "| a | 3.00 s |  |  | 2 s | **no** |",
    "| b | 3.00 ms | c: 2.00 | 1.50 × | 1.5 × | yes |",
    "| d | 1.00 MB |  |  |  |  |",
  ]);
  const results: Results = { machine: "m", version: "v", date: "2030-01-02", quick: false, rows };
  const page = readFileSync(join(import.meta.dirname, "../../docs/performance.md"), "utf8");
  const once = withTable(page, results);
  expect(once).toContain(`Measured on 2030-01-02, full form: v, on m.\n\n${table(rows)}\n`);
  expect(withTable(once, results)).toBe(once);
});
