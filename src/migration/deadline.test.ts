import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import { asksForLimit, decideDeadline } from "./deadline.ts";
import { accepted, ask, pair, proven, publish, refusal, shared, sharedOnA } from "./decisions.fixture.ts";
import { decideUnpublish } from "./unpublish.ts";

describe("the deadline", () => {
  test("is reported once, detaches nobody, and the leaving side is not counted again", () => {
    expect(decideDeadline(pair, 2_300, "me")).toBeUndefined();
    const late = decideDeadline(pair, 2_301, "me");
    expect(late?.record.migration?.overdueBy).toBe("me");
    expect(late?.export).toBe("keep");
    const record = late?.record ?? pair;
    expect(record.attachments).toEqual(pair.attachments);
    expect(decideDeadline(record, 9_999, "me")).toBeUndefined();
    expect(refusal(publish(record, ask("c", shared), 2_400, proven))).toStartWith("migrationOverdue: ");
    const end = decideUnpublish(record, "a", 2_500, "me");
    expect(end.record.ended).toEqual([
      { since: 2_000, at: 2_500, moved: true, overdue: true, stayed: "b", by: "me" },
    ]);
    expect(end.record.migration).toBeUndefined();
    expect(
      accepted(publish(end.record, ask("c", shared), 2_501, proven)).record.migration?.overdueBy,
    ).toBeUndefined();
  });

  test("a clock that jumps back: the start is set to now and not told again; small differences of clocks are left", () => {
    expect(decideDeadline(pair, 2_000 - 60, "me")).toBeUndefined();
    const back = decideDeadline(pair, 2_000 - 61, "me");
    expect(back?.record).toEqual({
      ...pair,
      migration: { since: 1_939, timeoutSeconds: 300, by: "", overdueBy: undefined },
    });
    expect(back?.export).toBe("keep");
    expect(back?.events).toEqual([]);
  });

  test("whatever the clock does, nobody is detached, and the window ends once the clock is steady", () => {
    const LOOK = 60;
    const day = 86_400;
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -400 * day, max: 400 * day }), { maxLength: 6 }), (jumps) => {
        let record = pair;
        let now = 2_000;
        const look = () => {
          record = decideDeadline(record, now, "me")?.record ?? record;
          expect(record.attachments).toEqual(pair.attachments);
          for (const node of ["a", "b"])
            expect(publish(record, ask(node, shared), now, proven).kind).toBe("accept");
          expect(["thirdNode", "migrationOverdue"]).toContain(
            refusal(publish(record, ask("c", shared), now, proven)).split(":")[0] ?? "",
          );
        };
        for (const jump of jumps) {
          now = Math.max(0, now + jump);
          look();
        }
        // The limit, and what clocks may differ, and a look.
        for (let steady = 0; steady <= 300 + 60 + LOOK; steady += LOOK) {
          now += LOOK;
          look();
        }
        expect(record.migration?.overdueBy).toBe("me");
        const ended = decideUnpublish(record, "a", now + (jumps[0] ?? 0), "me").record.ended[0];
        expect((ended?.at ?? 0) - (ended?.since ?? 0)).toBeGreaterThanOrEqual(0);
      }),
    );
  });

  test("no migration, no deadline; a limit of 0 is none", () => {
    expect(decideDeadline(sharedOnA, 1e9, "me")).toBeUndefined();
    const auto = {
      ...sharedOnA,
      settings: { ...DEFAULT_SETTINGS, migrationTimeoutSeconds: "auto" as const },
    };
    expect(publish(auto, ask("b", shared), 2_000, proven)).toEqual({
      kind: "ask",
      question: "allowedSeconds",
      holder: "a",
    });
    const unlimited = accepted(
      publish(auto, ask("b", shared), 2_000, { ...proven, allowedSeconds: 0 }),
    ).record;
    expect(decideDeadline(unlimited, 1e9, "me")).toBeUndefined();
    expect(refusal(publish(unlimited, ask("c", shared), 1e9, proven))).toStartWith("thirdNode: ");
    const limited = accepted(
      publish(auto, ask("b", shared), 2_000, { ...proven, allowedSeconds: 10_350 }),
    ).record;
    expect(limited.migration?.timeoutSeconds).toBe(10_350);
  });

  test("auto: the limit is found out again before anything is said, and that one holds", () => {
    const auto = {
      ...pair,
      settings: { ...DEFAULT_SETTINGS, migrationTimeoutSeconds: "auto" as const },
    };
    expect(asksForLimit(auto, 2_300)).toBe(false);
    expect(asksForLimit(auto, 2_301)).toBe(true);
    expect(asksForLimit(pair, 2_301)).toBe(false);
    expect(refusal(publish(auto, ask("c", shared), 2_301, proven))).toStartWith("thirdNode: ");
    const more = decideDeadline(auto, 2_301, "me", 900);
    expect(more?.record.migration).toMatchObject({ timeoutSeconds: 900, overdueBy: undefined, since: 2_000 });
    const none = decideDeadline(auto, 2_301, "me", 0)?.record ?? auto;
    expect(none.migration).toMatchObject({ timeoutSeconds: 0, overdueBy: undefined });
    expect(asksForLimit(none, 2_301)).toBe(true);
    expect(decideDeadline(none, 2_301, "me", 0)).toBeUndefined();
    const late = decideDeadline(none, 2_301, "me", 200)?.record ?? none;
    expect(late.migration).toMatchObject({ timeoutSeconds: 200, overdueBy: "me" });
    expect(asksForLimit(late, 9_999)).toBe(false);
    expect(refusal(publish(late, ask("c", shared), 2_301, proven))).toStartWith("migrationOverdue: ");
    // Without an answer that of the record holds.
    expect(decideDeadline(auto, 2_301, "me")?.record.migration?.overdueBy).toBe("me");
  });

  test("without an orchestrator the guard is off", () => {
    expect(publish(sharedOnA, ask("b", shared), 2_000, { singleUser: { kind: "unguarded" } }).kind).toBe(
      "accept",
    );
  });
});
