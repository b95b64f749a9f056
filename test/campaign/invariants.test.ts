import { describe, expect, test } from "bun:test";
import type { Fact, NewFact } from "./history.ts";
import { historyLines } from "./history.ts";
import { type Invariant, violations } from "./invariants.ts";

const call = {
  fact: "call",
  ...{ volume: "v0", method: "NodeStageVolume", process: "node-a", deadlineMs: 3_000 },
  ...{ tookMs: 100, outcome: "OK", disturbed: false },
} as const;
const writers = {
  fact: "writers",
  ...{ volume: "v0", most: 1, connected: ["node-a"], recorded: 1, detached: false, exported: true },
  unrecorded: [],
} as const;
const gone = "^NOT_FOUND: (?!node )";

/** For each invariant a fact that holds, and one that breaks it. */
const CASES: readonly (readonly [Invariant, NewFact, NewFact])[] = [
  [
    "record lost",
    { fact: "read", volume: "v0", node: "node-a", records: 7, lost: [] },
    { fact: "read", volume: "v0", node: "node-a", records: 7, lost: ["5 (blank)"] },
  ],
  [
    "record lost",
    { fact: "note", text: "e2fsck" },
    { fact: "damaged", volume: "v0", report: "Free blocks count wrong" },
  ],
  [
    "I/O failed",
    { fact: "note", text: "a fault" },
    { fact: "ioError", volume: "v0", node: "node-a", error: "EIO" },
  ],
  ["too many writers", writers, { ...writers, connected: ["node-a", "node-b"] }],
  [
    "too many writers",
    { ...writers, most: 2, connected: ["node-a", "node-b"], recorded: 2 },
    { ...writers, most: 2, connected: ["node-a", "node-b", "node-c"], recorded: 2 },
  ],
  ["too many writers", writers, { ...writers, recorded: 2 }],
  [
    "too many writers",
    { fact: "granted", volume: "v0", most: 1, nodes: ["node-a"] },
    { fact: "granted", volume: "v0", most: 1, nodes: ["node-a", "node-b"] },
  ],
  [
    "defect",
    { fact: "note", text: "a log" },
    { fact: "log", process: "node-a", line: "TypeError: x is undefined" },
  ],
  [
    "writable after detach",
    { ...writers, connected: [], recorded: 0, detached: true, exported: false },
    { ...writers, connected: [], recorded: 0, detached: true, exported: true },
  ],
  [
    "writable after detach",
    { ...writers, connected: [], recorded: 1, exported: false },
    { ...writers, connected: [], recorded: 1, detached: true, exported: false },
  ],
  [
    "released in use",
    { fact: "note", text: "held" },
    { fact: "releasedInUse", volume: "v0", node: "node-a", by: "descriptor" },
  ],
  ["wrong answer", { ...call, outcome: "ABORTED: x", never: "^OK$" }, { ...call, never: "^OK$" }],
  [
    "wrong answer",
    { ...call, outcome: 'NOT_FOUND: node "node-a" is not known', never: gone },
    { ...call, outcome: "NOT_FOUND: volume csi-0 does not exist", never: gone },
  ],
  [
    "defect",
    { ...call, outcome: "INTERNAL: mount /dev/loop0 failed" },
    { ...call, outcome: "INTERNAL: internal error: undefined is not a function" },
  ],
  ["deadline missed", { ...call, tookMs: 3_100 }, { ...call, tookMs: 9_000 }],
  ["deadline missed", { ...call, tookMs: 9_000, disturbed: true }, { ...call, tookMs: 9_000 }],
  [
    "size not reached",
    { fact: "size", volume: "v0", wanted: 100, found: 100 },
    { fact: "size", volume: "v0", wanted: 100, found: 99 },
  ],
  [
    "not healthy",
    { fact: "healthy", tookMs: 500, withinMs: 90_000 },
    { fact: "healthy", tookMs: 90_001, withinMs: 90_000, not: "v0 cannot be deleted" },
  ],
  [
    "not healthy",
    { fact: "healthy", tookMs: 90_000, withinMs: 90_000 },
    { fact: "healthy", tookMs: 90_001, withinMs: 90_000 },
  ],
  ["attachment forgotten", writers, { ...writers, unrecorded: ["node-a"] }],
  ["left behind", { fact: "calm" }, { fact: "left", what: "loop device /dev/loop0" }],
  [
    "process ended",
    { fact: "fault", what: "kill node-a" },
    { fact: "ended", what: "process ended by itself: node-a, SIGSEGV" },
  ],
  ["round too long", { fact: "calm" }, { fact: "overlong", limitMs: 300_000 }],
];

const history = (...facts: NewFact[]): Fact[] => facts.map((fact, at) => ({ at, ...fact }) as Fact);

describe("the campaign's checker", () => {
  for (const [invariant, good, bad] of CASES) {
    test(`${invariant}: ${JSON.stringify(bad)}`, () => {
      expect(violations(history(good))).toEqual([]);
      expect(violations(history(good, bad, good)).map((each) => each.invariant)).toEqual([invariant]);
    });
  }

  test("has a case for each invariant", () => {
    const known: Record<Invariant, true> = {
      "record lost": true,
      "I/O failed": true,
      "too many writers": true,
      "writable after detach": true,
      "attachment forgotten": true,
      "released in use": true,
      "wrong answer": true,
      defect: true,
      "deadline missed": true,
      "size not reached": true,
      "not healthy": true,
      "left behind": true,
      "process ended": true,
      "round too long": true,
    };
    expect(new Set(CASES.map(([invariant]) => invariant))).toEqual(
      new Set(Object.keys(known) as Invariant[]),
    );
  });

  test("a history shows repeated refusals once, with their number", () => {
    const refused = { ...call, outcome: "UNAVAILABLE: try again" };
    const lines = historyLines(history(call, refused, refused, refused, call));
    expect(lines.map((line) => line.slice(12))).toEqual([
      "v0 NodeStageVolume (node-a, 100 ms): OK",
      "v0 NodeStageVolume (node-a, 100 ms): UNAVAILABLE: try again (3 times)",
      "v0 NodeStageVolume (node-a, 100 ms): OK",
    ]);
  });
});
