import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { type Candidate, clocksApart, type PruneRules, prunePlan } from "./prune-plan.ts";

const NOW = Date.UTC(2026, 2, 1, 12);
const HOUR = 3_600_000;

const snapshot = (name: string, hours: number, more: Partial<Candidate> = {}): Candidate => ({
  ...{ namespace: "vms", name, uid: `uid-${name}`, claim: "disk", content: `content-${name}` },
  ...{ ready: true, deleting: false, createdAt: NOW - hours * HOUR, cutAt: NOW - hours * HOUR, ...more },
});
const rules = (more: Partial<PruneRules> = {}): PruneRules => ({
  ...{ keep: 2, olderThanSeconds: undefined, sources: [], ...more },
});
/** The RDS's clock at the cut, in hours before now. */
const cut = (hours: number) => ({ cutAt: NOW - hours * HOUR });
const deleted = (all: readonly Candidate[], more: Partial<PruneRules> = {}): string[] =>
  prunePlan(all, rules(more), NOW).flatMap(({ action, snapshot: { name } }) =>
    action === "delete" ? [name] : [],
  );

describe("the plan", () => {
  test("keeps the newest of each claim, whatever the order of the list", () => {
    const all = [
      snapshot("c", 3),
      snapshot("a", 1),
      snapshot("x", 90, { claim: "other" }),
      snapshot("d", 4),
      snapshot("b", 2),
    ];
    expect(deleted(all)).toEqual(["c", "d"]);
    expect(deleted(all, { keep: 1 })).toEqual(["b", "c", "d"]);
    expect(deleted(all, { sources: ["other"] })).toEqual([]);
  });

  test("one that is not ready neither counts nor goes, and one that is being deleted is no backup", () => {
    const all = [
      snapshot("failed", 0, { ready: false }),
      snapshot("going", 1, { deleting: true }),
      snapshot("a", 2),
      snapshot("b", 3),
      snapshot("c", 4),
    ];
    expect(deleted(all)).toEqual(["c"]);
    expect(prunePlan(all, rules(), NOW).filter(({ isOdd }) => isOdd)).toMatchObject([
      { snapshot: { name: "failed" }, action: "keep", why: "it is not ready" },
    ]);
  });

  test("an age keeps the younger ones; one without a claim was made by hand", () => {
    const all = [1, 2, 30, 40].map((hours) => snapshot(`h${hours}`, hours));
    expect(deleted(all, { keep: 1, olderThanSeconds: 36 * 3_600 })).toEqual(["h40"]);
    expect(deleted(all, { keep: 1, olderThanSeconds: 30 * 3_600 })).toEqual(["h40"]);
    expect(deleted(all.map((each) => ({ ...each, claim: undefined })))).toEqual([]);
  });

  const doubts = (all: readonly Candidate[], more: Partial<PruneRules> = {}) => {
    const plan = prunePlan(all, rules(more), NOW);
    const kept = plan.filter(({ inDoubt }) => inDoubt).map(({ snapshot: { name } }) => name);
    return { kept, apart: clocksApart(plan).map(({ name }) => name) };
  };

  test("a clock of the RDS that was behind at the newest cut: that one is kept, and counts as none", () => {
    const all = [snapshot("new", 1, cut(400_000)), ...[2, 3, 4].map((hours) => snapshot(`h${hours}`, hours))];
    expect(deleted(all)).toEqual(["h4"]);
    expect(deleted(all, { keep: 3 })).toEqual([]);
    expect(doubts(all)).toEqual({ kept: ["new", "h3"], apart: ["new"] });
    expect(prunePlan(all, rules(), NOW)[0]).toMatchObject({
      ...{ action: "keep", isOdd: true, why: "the clocks of Kubernetes and the RDS disagree on its age" },
    });
    // In time it is old by both.
    expect(deleted([snapshot("new", 10, cut(400_000)), ...all.slice(1)])).toEqual(["h4", "new"]);
  });

  test("a clock that was ahead at one cut: that one is kept, and hides no other", () => {
    const all = [1, 2, 3, 4].map((hours) => snapshot(`h${hours}`, hours, hours === 4 ? cut(-9_000) : {}));
    expect(deleted(all)).toEqual(["h3"]);
    expect(doubts(all)).toEqual({ kept: ["h2", "h4"], apart: ["h4"] });
  });

  test("a clock that was wrong all the time changes no order; an age is that of the clock that has it younger", () => {
    const all = [1, 2, 30, 40].map((hours) => snapshot(`h${hours}`, hours, cut(hours - 5)));
    expect(deleted(all)).toEqual(["h30", "h40"]);
    expect(doubts(all)).toEqual({ kept: [], apart: [] });
    const older = { keep: 1, olderThanSeconds: 28 * 3_600 };
    expect(deleted(all, older)).toEqual(["h40"]);
    expect(doubts(all, older)).toEqual({ kept: ["h30"], apart: ["h1", "h2", "h30", "h40"] });
  });

  test("of two that were made at once neither is the newer; cuts that overtake each other blame no clock", () => {
    const second = 1 / 3_600;
    const same = [snapshot("a", 1), snapshot("b", 1), snapshot("c", 2)];
    expect(deleted(same, { keep: 1 })).toEqual(["c"]);
    expect(deleted([snapshot("a", 1), snapshot("b", 1, cut(1 - second))], { keep: 1 })).toEqual(["a"]);
    const crossed = [snapshot("a", 1, cut(1)), snapshot("b", 1 + second, cut(1 - second))];
    expect(deleted(crossed, { keep: 1 })).toEqual([]);
    expect(doubts(crossed, { keep: 1 })).toEqual({ kept: ["a", "b"], apart: [] });
  });

  test("one without a time stays, and counts as none", () => {
    for (const unknown of [{ createdAt: undefined }, { cutAt: undefined }]) {
      const all = [snapshot("a", 1), snapshot("b", 2, unknown), snapshot("c", 3), snapshot("d", 4)];
      expect(deleted(all)).toEqual(["d"]);
      expect(prunePlan(all, rules({ keep: 1 }), NOW)).toContainEqual(
        expect.objectContaining({ why: "the time of its creation or of its cut is not known", isOdd: true }),
      );
    }
  });

  test("whatever there is, and whatever the clocks: of each claim the newest ready ones stay, and each deleted one has them before it", () => {
    const any = fc.record({
      name: fc.string({ minLength: 1, maxLength: 4 }),
      hours: fc.integer({ min: 0, max: 50 }),
      cutHours: fc.option(fc.integer({ min: -50, max: 50 }), { nil: undefined }),
      claim: fc.constantFrom("a", "b", undefined),
      ready: fc.boolean(),
      problem: fc.option(fc.constant("it is of another driver"), { nil: undefined, freq: 3 }),
      deleting: fc.boolean(),
    });
    const world = fc.uniqueArray(any, { maxLength: 30, selector: ({ name }) => name });
    const shape = fc.record({
      keep: fc.integer({ min: 1, max: 5 }),
      olderThanSeconds: fc.option(fc.integer({ min: 0, max: 200_000 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(world, shape, (found, more) => {
        const all = found.map(({ name, hours, cutHours = hours, ...rest }) =>
          snapshot(name, hours, { ...rest, ...cut(cutHours) }),
        );
        const gone = new Set(deleted(all, more));
        const usable = all.filter(
          ({ ready, problem, deleting, claim }) =>
            ready && problem === undefined && !deleting && claim !== undefined,
        );
        for (const name of gone) {
          const of = usable.find((each) => each.name === name);
          if (of === undefined) throw new Error(`${name} is no backup`);
          const stay = usable.filter((each) => each.claim === of.claim && !gone.has(each.name));
          const [created = NaN, cut = NaN] = [of.createdAt, of.cutAt];
          const newer = stay.filter(
            ({ createdAt = NaN, cutAt = NaN }) => createdAt >= created && cutAt >= cut,
          );
          expect(newer.length).toBeGreaterThanOrEqual(more.keep);
          if (more.olderThanSeconds !== undefined)
            expect(NOW - Math.max(created, cut)).toBeGreaterThan(more.olderThanSeconds * 1_000);
        }
      }),
    );
  });
});
