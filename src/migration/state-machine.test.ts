import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../domain/record/volume-record.ts";
import { asksForLimit, decideDeadline } from "./deadline.ts";
import type { Decision, Evidence, PublishRequest } from "./decision.ts";
import { decidePublish } from "./publish.ts";
import { decideUnpublish, forgetEnded } from "./unpublish.ts";

const empty: VolumeRecord = {
  name: "pvc-1",
  cluster: "test",
  claim: undefined,
  createdAt: 0,
  source: undefined,
  filesystem: undefined,
  epoch: 0,
  attachments: [],
  migration: undefined,
  ended: [],
  settings: DEFAULT_SETTINGS,
  unknown: [],
};

const ask = (node: string, over: Partial<PublishRequest> = {}): PublishRequest => ({
  volume: "csi-1",
  node,
  hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${node}`,
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "mount",
  readonly: false,
  filesystem: "ext4",
  by: "me",
  ...over,
});
const shared = { accessMode: "MULTI_NODE_MULTI_WRITER", accessType: "block", filesystem: undefined } as const;
const proven: Evidence = { singleUser: { kind: "proven" } };

function accepted(decision: Decision): Extract<Decision, { kind: "accept" }> {
  if (decision.kind !== "accept") throw new Error(`expected accept, got ${JSON.stringify(decision)}`);
  return decision;
}
function refusal(decision: Decision): string {
  if (decision.kind !== "refuse") throw new Error(`expected refuse, got ${decision.kind}`);
  return `${decision.error.id}: ${decision.error.summary}`;
}
const publish = (record: VolumeRecord, request: PublishRequest, now = 1_000, evidence: Evidence = {}) =>
  decidePublish(record, request, now, evidence);
const onA = accepted(publish(empty, ask("a"))).record;
const sharedOnA = accepted(publish(empty, ask("a", shared))).record;
const pair = accepted(publish(sharedOnA, ask("b", shared), 2_000, proven)).record;

describe("publish", () => {
  test("not attached: a new epoch and a fresh export", () => {
    const decision = accepted(publish({ ...empty, epoch: 7 }, ask("a")));
    expect(decision.export).toBe("fresh");
    expect(decision.record.epoch).toBe(8);
    expect(decision.record.filesystem).toBe("ext4");
    expect(decision.record.attachments).toEqual([
      {
        node: "a",
        hostNqn: "nqn.2014-08.org.nvmexpress:uuid:a",
        accessMode: "SINGLE_NODE_WRITER",
        accessType: "mount",
        readonly: false,
        since: 1_000,
      },
    ]);
  });

  test("same node, same request: nothing changes", () => {
    const decision = accepted(publish(onA, ask("a"), 5_000));
    expect(decision.record).toBe(onA);
    expect(decision.export).toBe("keep");
  });

  for (const [name, over, text] of [
    ["readonly", { readonly: true }, "readonly is false, asked for true"],
    ["access type", { accessType: "block" }, "access type is mount, asked for block"],
    [
      "access mode",
      { accessMode: "SINGLE_NODE_SINGLE_WRITER" },
      "access mode is SINGLE_NODE_WRITER, asked for SINGLE_NODE_SINGLE_WRITER",
    ],
    [
      "host NQN",
      { hostNqn: "nqn.other" },
      "host NQN is nqn.2014-08.org.nvmexpress:uuid:a, the node's is nqn.other",
    ],
  ] as const) {
    test(`same node, other ${name}: ALREADY_EXISTS`, () => {
      expect(refusal(publish(onA, ask("a", over)))).toBe(
        `attachedIncompatibly: volume csi-1 is already attached to node a: ${text}`,
      );
    });
  }

  test("SAFETY-02: other node, single-node mode: FAILED_PRECONDITION at once, naming the holder", () => {
    expect(publish(onA, ask("b"))).toEqual({ kind: "ask", question: "holderGone", holder: "a" });
    expect(refusal(publish(onA, ask("b"), 1_001, { holderGone: false }))).toBe(
      "attachedElsewhere: volume csi-1 is attached to node a and its access mode allows a single node",
    );
  });

  test("holder confirmed gone: it is detached and the other node gets a new epoch", () => {
    const decision = accepted(publish(onA, ask("b"), 2_000, { holderGone: true }));
    expect(decision.export).toBe("fresh");
    expect(decision.record.epoch).toBe(onA.epoch + 1);
    expect(decision.record.attachments.map((attachment) => attachment.node)).toEqual(["b"]);
    expect(decision.events).toEqual([{ type: "VolumeFenced", node: "a" }]);
  });

  test("holder of a shared volume gone, and no migration proven: the other node gets a new epoch as well", () => {
    const notProven = { singleUser: { kind: "not-proven", reason: "no pod there", waits: true } } as const;
    for (const migrationGuard of ["enforce", "warn"] as const) {
      const held = { ...sharedOnA, settings: { ...sharedOnA.settings, migrationGuard } };
      expect(publish(held, ask("b", shared), 2_000, notProven)).toEqual({
        kind: "ask",
        question: "holderGone",
        holder: "a",
      });
      const decision = accepted(publish(held, ask("b", shared), 2_000, { ...notProven, holderGone: true }));
      expect(decision.export).toBe("fresh");
      expect(decision.record).toMatchObject({ epoch: held.epoch + 1, migration: undefined });
      expect(decision.record.attachments.map((attachment) => attachment.node)).toEqual(["b"]);
      expect(decision.events).toEqual([{ type: "VolumeFenced", node: "a" }]);
    }
    // A migration that is proven, and one that nobody could ask about, are decided without that question.
    expect(accepted(publish(sharedOnA, ask("b", shared), 2_000, proven)).export).toBe("keep");
    const unknown = { singleUser: { kind: "unknown", reason: "outage" } } as const;
    expect(refusal(publish(sharedOnA, ask("b", shared), 2_000, unknown))).toStartWith("guardUnavailable");
  });

  test("a shared request never joins a single-node attachment, nor the other way round", () => {
    const single = accepted(publish(empty, ask("a", { accessType: "block" }))).record;
    expect(publish(single, ask("b", shared), 2_000, proven)).toMatchObject({
      kind: "ask",
      question: "holderGone",
    });
    expect(publish(sharedOnA, ask("b", { accessType: "block" }), 2_000, proven)).toMatchObject({
      question: "holderGone",
    });
  });

  test("RWX-03 second node: needs proof, then both stay under the same export", () => {
    expect(publish(sharedOnA, ask("b", shared))).toEqual({
      kind: "ask",
      question: "singleUser",
      holder: "a",
    });
    const decision = accepted(publish(sharedOnA, ask("b", shared), 2_000, proven));
    expect(decision.export).toBe("keep");
    expect(decision.record.epoch).toBe(sharedOnA.epoch);
    expect(decision.record.migration).toEqual({
      since: 2_000,
      timeoutSeconds: 300,
      by: "me",
      overdueBy: undefined,
    });
    expect(decision.events).toEqual([]);
  });

  test("second node, not proven: FAILED_PRECONDITION; not known: UNAVAILABLE", () => {
    const not: Evidence = {
      singleUser: { kind: "not-proven", reason: "pods x and y use it", waits: false },
      holderGone: false,
    };
    const unknown: Evidence = { singleUser: { kind: "unknown", reason: "API server timed out" } };
    expect(refusal(publish(sharedOnA, ask("b", shared), 2_000, not))).toStartWith("secondNodeNotProven: ");
    expect(refusal(publish(sharedOnA, ask("b", shared), 2_000, unknown))).toStartWith("guardUnavailable: ");
    const lenient = { ...sharedOnA, settings: { ...DEFAULT_SETTINGS, migrationGuard: "warn" as const } };
    expect(publish(lenient, ask("b", shared), 2_000, not).kind).toBe("accept");
    const off = { ...sharedOnA, settings: { ...DEFAULT_SETTINGS, migrationGuard: "off" as const } };
    expect(publish(off, ask("b", shared)).kind).toBe("accept");
  });

  test("RWX-03 third node: FAILED_PRECONDITION naming both, and elapsed and allowed time when overdue", () => {
    expect(refusal(publish(pair, ask("c", shared), 2_300, proven))).toBe(
      "thirdNode: volume csi-1 is attached to two nodes already: a and b",
    );
    expect(refusal(publish(pair, ask("c", shared), 2_301, proven))).toBe(
      "migrationOverdue: the migration of volume csi-1 has taken 301 s, 300 s are allowed; no further node is attached",
    );
  });

  test("an overdue migration detaches nobody, and both nodes still get their answer", () => {
    for (const node of ["a", "b"]) {
      expect(accepted(publish(pair, ask(node, shared), 99_999)).record).toBe(pair);
    }
  });
});

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

describe("unpublish", () => {
  test("the last node: export off, attachments cleared, epoch kept", () => {
    const decision = decideUnpublish(onA, "a", 3_000, "me");
    expect(decision.export).toBe("off");
    expect(decision.record).toEqual({ ...onA, attachments: [] });
  });

  test("an unknown node changes nothing", () => {
    expect(decideUnpublish(pair, "x", 3_000, "me")).toEqual({
      kind: "accept",
      record: pair,
      export: "keep",
      events: [],
    });
    expect(decideUnpublish(empty, "x", 3_000, "me")).toEqual({
      kind: "accept",
      record: empty,
      export: "off",
      events: [],
    });
  });

  test("the first of two leaves: the machine has moved; the second or both leave: it has not", () => {
    const end = (node: string, now = 2_050) => decideUnpublish(pair, node, now, "me").record;
    const note = { since: 2_000, at: 2_050, overdue: false, by: "me" };
    expect(end("a").ended).toEqual([{ ...note, moved: true, stayed: "b" }]);
    expect(end("b").ended).toEqual([{ ...note, moved: false, stayed: "a" }]);
    expect(end("").ended).toEqual([{ ...note, moved: false, stayed: undefined }]);
    expect(decideUnpublish(pair, "a", 2_050, "me").export).toBe("keep");
    expect(end("a").migration).toBeUndefined();
    expect(end("").attachments).toEqual([]);
    expect(end("a", 10).ended[0]?.at).toBe(2_000);
  });

  test("an end stays in the record until it has been reported", () => {
    const first = decideUnpublish(pair, "a", 2_050, "me").record;
    const again = accepted(publish(first, ask("c", shared), 2_060, proven)).record;
    const both = decideUnpublish(again, "c", 2_070, "me").record;
    expect(both.ended.map((ended) => ended.since)).toEqual([2_000, 2_060]);
    expect(forgetEnded(both, (ended) => ended.since === 2_000).ended.map((ended) => ended.since)).toEqual([
      2_060,
    ]);
    expect(forgetEnded(both, () => false)).toBe(both);
  });
});

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
