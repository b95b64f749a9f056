import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { countCommands, countPrograms, countSizes, noPrograms, overBudget, recorded } from "./budgets.ts";
import { sharesOf } from "./profile.ts";
import { programsOf } from "./started-programs.ts";
import { holds, type Results, SECTIONS, table, verdict, withTable } from "./table.ts";

// Counts only; scripts/bench measures times.

test("no call sends more RouterOS commands, or has longer lines and replies, than recorded", async () => {
  expect(overBudget(await countCommands(), await recorded("commands"))).toEqual([]);
}, 300_000);

test.skipIf(noPrograms !== "")(
  `no call of a node starts more programs than recorded ${noPrograms}`.trim(),
  async () => {
    expect(overBudget(await countPrograms(), await recorded("programs"))).toEqual([]);
  },
  300_000,
);

test("the executable, and the image where it is built, are not larger than recorded", async () => {
  const sizes = await countSizes();
  const parts = "image, bytes" in sizes ? (["executable", "image"] as const) : (["executable"] as const);
  expect(overBudget(sizes, await recorded(...parts))).toEqual([]);
});

test("a count over its record by more than a tenth, or without a record, is named with the command that records it", () => {
  const record = { "CreateVolume, commands": 2, "executable, bytes": 1_000 };
  expect(overBudget({ "CreateVolume, commands": 2, "executable, bytes": 1_100 }, record)).toEqual([]);
  expect(overBudget({ "CreateVolume, commands": 3, "executable, bytes": 1_101, fresh: 1 }, record)).toEqual([
    "CreateVolume, commands: 3, over the recorded 2 by more than a tenth. If that is meant to be, record it: scripts/bench --record",
    "executable, bytes: 1101, over the recorded 1000 by more than a tenth. If that is meant to be, record it: scripts/bench --record",
    "fresh: 1, and no count is recorded. If that is meant to be, record it: scripts/bench --record",
  ]);
});

test("a recorded count that is not counted any more is named, and a smaller one passes", () => {
  expect(overBudget({ kept: 1 }, { kept: 100, gone: 5 })).toEqual([
    "gone: recorded as 5, and not counted any more. If that is meant to be, record it: scripts/bench --record",
  ]);
});

test("each recorded count belongs to one part, and each part has counts", async () => {
  const parts = ["commands", "programs", "executable", "image"] as const;
  const names = await Promise.all(parts.map(async (part) => Object.keys(await recorded(part))));
  expect(names.map((each) => each.length > 0)).toEqual(parts.map(() => true));
  expect(names.flat().toSorted()).toEqual(Object.keys(await recorded(...parts)).toSorted());
  expect(names[1]).toContain("NodeStageVolume of a new ext4, processes");
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
  expect(verdict(rows)).toEqual({
    missed: 1,
    lines: ["These goals do not hold:", "- a: 3.00 s, goal: at most 2 s", "1 goals hold, 1 do not."],
  });
  const unknown = { name: "e", value: 3, unit: "ms", goal: { factor: 1.5 } } as const;
  expect(verdict([unknown])).toEqual({
    missed: 1,
    lines: ["These goals do not hold:", "- e: 3.00 ms, goal: at most 1.5 ×", "0 goals hold, 1 do not."],
  });
  expect(verdict(rows.slice(1))).toEqual({ missed: 0, lines: ["1 goals hold, 0 do not."] });
  const results: Results = { machine: "m", version: "v", date: "2030-01-02", quick: false, rows };
  const page = readFileSync(join(import.meta.dirname, "../../docs/performance.md"), "utf8");
  for (const section of SECTIONS) {
    const once = withTable(page, section, results);
    expect(once).toContain(`Measured on 2030-01-02, full form: v, on m.\n\n${table(rows)}\n`);
    expect(once.match(/Measured on /g)).toHaveLength(SECTIONS.length);
    expect(withTable(once, section, results)).toBe(once);
  }
});

test("a sample of a profile counts for its package, its folder of src, or the nearest caller with a source", () => {
  const frame = (functionName: string, url: string) => ({ functionName, url });
  const nodes = [
    { id: 1, callFrame: frame("(root)", ""), children: [2, 3, 6] },
    { id: 2, callFrame: frame("f", "file:///r/node_modules/@grpc/grpc-js/build/a.js"), children: [4] },
    { id: 3, callFrame: frame("g", "file:///r/src/rds/a.ts"), children: [5] },
    { id: 4, callFrame: frame("indexOf", "") },
    { id: 5, callFrame: frame("writeSync", "") },
    { id: 6, callFrame: frame("h", "node:net") },
  ];
  const shares = sharesOf({ nodes, samples: [2, 4, 3, 5, 6, 1], timeDeltas: [20, 30, 25, 15, 6, 4] });
  expect(shares).toEqual([
    ["@grpc/grpc-js", 50],
    ["src/rds", 25],
    ["writes of log lines", 15],
    ["node:net", 6],
    ["the runtime itself", 4],
  ]);
});
