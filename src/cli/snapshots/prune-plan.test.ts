import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { VolumeSnapshotView } from "../../kubernetes/volume-snapshots.ts";
import { type PruneRules, prunePlan } from "./prune-plan.ts";

const NOW = Date.UTC(2026, 2, 1, 12);
const HOUR = 3_600_000;

const snapshot = (
  name: string,
  hours: number,
  more: Partial<VolumeSnapshotView> = {},
): VolumeSnapshotView => ({
  ...{ namespace: "vms", name, uid: `uid-${name}`, claim: "disk", content: `content-${name}` },
  ...{ ready: true, deleting: false, createdAt: NOW - hours * HOUR, ...more },
});
const rules = (more: Partial<PruneRules> = {}): PruneRules => ({
  ...{ keep: 2, olderThanSeconds: undefined, sources: [], ...more },
});
const deleted = (all: readonly VolumeSnapshotView[], more: Partial<PruneRules> = {}): string[] =>
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

  test("whatever there is: of each claim the newest ready ones stay, and each deleted one has them before it", () => {
    const any = fc.record({
      name: fc.string({ minLength: 1, maxLength: 4 }),
      hours: fc.integer({ min: 0, max: 50 }),
      claim: fc.constantFrom("a", "b", undefined),
      ready: fc.boolean(),
      deleting: fc.boolean(),
    });
    const world = fc.uniqueArray(any, { maxLength: 30, selector: ({ name }) => name });
    const shape = fc.record({
      keep: fc.integer({ min: 1, max: 5 }),
      olderThanSeconds: fc.option(fc.integer({ min: 0, max: 200_000 }), { nil: undefined }),
    });
    fc.assert(
      fc.property(world, shape, (found, more) => {
        const all = found.map(({ name, hours, ...rest }) => snapshot(name, hours, rest));
        const gone = new Set(deleted(all, more));
        const usable = all.filter(({ ready, deleting, claim }) => ready && !deleting && claim !== undefined);
        for (const name of gone) {
          const of = usable.find((each) => each.name === name);
          if (of === undefined) throw new Error(`${name} is no backup`);
          const stay = usable.filter((each) => each.claim === of.claim && !gone.has(each.name));
          expect(stay.filter(({ createdAt }) => createdAt >= of.createdAt).length).toBeGreaterThanOrEqual(
            more.keep,
          );
          if (more.olderThanSeconds !== undefined)
            expect(NOW - of.createdAt).toBeGreaterThan(more.olderThanSeconds * 1_000);
        }
      }),
    );
  });
});
