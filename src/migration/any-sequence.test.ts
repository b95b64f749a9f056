import { expect, test } from "bun:test";
import fc from "fast-check";
import { decideDeadline } from "./deadline.ts";
import { ask, empty, shared } from "./decisions.fixture.ts";
import { decidePublish } from "./publish.ts";
import { decideUnpublish } from "./unpublish.ts";

test("any sequence keeps the invariants, and each migration ends in exactly one outcome", () => {
  const step = fc.record({
    node: fc.constantFrom("a", "b", "c", ""),
    verb: fc.constantFrom("publish", "publish", "unpublish", "deadline"),
    shared: fc.boolean(),
    pass: fc.nat(500),
    holderGone: fc.boolean(),
    proof: fc.constantFrom("proven" as const, "not-proven" as const, "unknown" as const),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      let record = empty;
      let now = 1_000;
      let started = 0;
      let ended = 0;
      for (const each of steps) {
        now += each.pass;
        const before = record;
        const decision =
          each.verb === "deadline"
            ? decideDeadline(record, now, "me")
            : each.verb === "unpublish"
              ? decideUnpublish(record, each.node, now, "me")
              : decidePublish(record, ask(each.node || "d", each.shared ? shared : {}), now, {
                  holderGone: each.holderGone,
                  singleUser: { kind: each.proof, reason: "test", waits: each.shared },
                });
        if (decision === undefined) continue;
        expect(decision.kind).not.toBe("ask");
        if (decision.kind !== "accept") continue;
        record = decision.record;
        if (record.migration !== undefined && before.migration === undefined) started += 1;
        if (record.migration?.overdueBy !== undefined && before.migration?.overdueBy === undefined)
          ended += 1;
        ended += record.ended.filter((each) => !before.ended.includes(each) && !each.overdue).length;
        const nodes = record.attachments.map((attachment) => attachment.node);
        expect(nodes.length).toBeLessThanOrEqual(2);
        expect(new Set(nodes).size).toBe(nodes.length);
        expect(record.migration !== undefined).toBe(nodes.length === 2);
        expect(decision.export === "off").toBe(nodes.length === 0);
        if (nodes.length === 2) {
          for (const { accessMode, accessType } of record.attachments) {
            expect([accessMode, accessType]).toEqual(["MULTI_NODE_MULTI_WRITER", "block"]);
          }
        }
        if (decision.export === "fresh") expect(record.epoch).toBe(before.epoch + 1);
        else expect(record.epoch).toBe(before.epoch);
        expect(started - ended).toBe(
          record.migration === undefined || record.migration.overdueBy !== undefined ? 0 : 1,
        );
      }
    }),
    { numRuns: 500 },
  );
});
