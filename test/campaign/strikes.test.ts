import { describe, expect, test } from "bun:test";
import type { Control } from "../support/control.ts";
import { tooMany } from "./descriptors.ts";
import type { FaultStep } from "./draw-faults.ts";
import { wrongEnd } from "./ends.ts";
import { longStruck, Strikes, type StruckKinds, shortStruck, sumOf, verdictOn } from "./strikes.ts";

const cut: FaultStep = { at: 0, fault: "rds", rule: { kind: "cutAfter" } };
const hang: FaultStep = { at: 0, fault: "rds", rule: { kind: "hang" } };
const api: FaultStep = { at: 0, fault: "api", how: "429", ms: 1 };
const clock: FaultStep = { at: 0, fault: "clock", process: "node-a", seconds: 5 };
const kill: FaultStep = { at: 0, fault: "kill", process: "node-a", ms: 1 };
const hitting = (...hits: number[]) => ({ hits: async () => hits }) as unknown as Control;

describe("faults that struck", () => {
  test("are told from those that were only set, by the hits of their rules", async () => {
    const strikes = new Strikes([cut, hang, api, kill]);
    strikes.rule(cut, 0);
    strikes.rule(hang, 1);
    strikes.struck(kill);
    await strikes.collect(hitting(2, 0));
    expect(shortStruck(strikes.kinds)).toBe("2 of 4 faults struck");
    expect(longStruck(sumOf([strikes.kinds, strikes.kinds]))).toBe(
      "faults that struck: api 429 0/2, kill 2/2, rds cutAfter 2/2, rds hang 0/2; NEVER: api 429, rds hang",
    );
  });

  test("stay counted when a new simulator counts anew", async () => {
    const strikes = new Strikes([cut, hang]);
    strikes.rule(cut, 0);
    await strikes.collect(hitting(1));
    strikes.forgetRules();
    strikes.rule(hang, 0);
    await strikes.collect(hitting(0));
    expect(longStruck(strikes.kinds)).toBe(
      "faults that struck: rds cutAfter 1/1, rds hang 0/1; NEVER: rds hang",
    );
  });
});

describe("a campaign", () => {
  /** The sum of so many rounds with each of the steps, of which some struck. */
  const rounds = (
    count: number,
    steps: readonly FaultStep[],
    struck: readonly FaultStep[] = [],
  ): StruckKinds =>
    sumOf(
      Array.from({ length: count }, () => {
        const strikes = new Strikes(steps);
        for (const step of struck) strikes.struck(step);
        return strikes.kinds;
      }),
    );

  test("fails by name for each kind of fault that was set 40 times and never struck", () => {
    expect(verdictOn(rounds(40, [cut, hang, api, kill], [cut, kill])).failed).toEqual([
      'faults of the kind "api 429" never struck; 40 were set',
      'faults of the kind "rds hang" never struck; 40 were set',
    ]);
  });

  test("passes when a kind struck once, and when it was set less often", () => {
    const once = sumOf([rounds(60, [hang]), rounds(1, [hang], [hang])]);
    expect(verdictOn(once)).toEqual({ failed: [], skipped: [] });
    const seldom = rounds(39, [hang]);
    expect(verdictOn(seldom)).toEqual({ failed: [], skipped: [] });
    expect(longStruck(seldom)).toBe("faults that struck: rds hang 0/39; NEVER: rds hang");
  });

  test("skips by name a kind that this machine cannot set", () => {
    const strikes = new Strikes([clock, kill]);
    strikes.skip(clock, "libfaketime is not installed");
    strikes.struck(kill);
    const sum = sumOf(Array.from({ length: 50 }, () => strikes.kinds));
    expect(verdictOn(sum)).toEqual({
      failed: [],
      skipped: ['50 faults of the kind "clock": libfaketime is not installed'],
    });
    expect(shortStruck(sum)).toBe("50 of 50 faults struck, 50 skipped");
    expect(longStruck(sum)).toBe("faults that struck: kill 50/50");
  });
});

test("a process may end as it was asked to, and in no other way", () => {
  expect(wrongEnd("node-a", "SIGKILL", "kill")).toBeUndefined();
  expect(wrongEnd("node-a", "0", "term")).toBeUndefined();
  expect(wrongEnd("node-a", "0", undefined)).toBe("process ended by itself: node-a, 0");
  expect(wrongEnd("node-a", "1", "kill")).toBe("process ended by itself: node-a, 1");
  expect(wrongEnd("node-a", "1", "term")).toBe("process ended by itself: node-a, 1 (after SIGTERM)");
  expect(wrongEnd("node-a", "SIGKILL", "term")).toBe("node-a did not end within 10 s after SIGTERM");
});

test("a descriptor more than at the start is too many, but for connections up to their limits", () => {
  const start = new Map([
    ["socket", 4],
    ["/dev/null", 1],
  ]);
  const more = (kind: string, count: number) => tooMany(start, new Map([...start, [kind, count]]));
  expect(more("socket", 4)).toEqual([]);
  expect(more("socket", 5)).toEqual(["5 descriptors socket, at most 4"]);
  expect(more("/dev/loopN", 1)).toEqual(["1 descriptors /dev/loopN, at most 0"]);
  expect(more("connection to the RDS", 5)).toEqual([]);
  expect(more("connection to the RDS", 6)).toEqual(["6 descriptors connection to the RDS, at most 5"]);
});
