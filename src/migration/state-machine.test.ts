import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { DEFAULT_SETTINGS, type VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision, Evidence, PublishRequest } from "./decision.ts";
import { decidePublish } from "./publish.ts";
import { decideUnpublish } from "./unpublish.ts";

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
    expect(decision.record.migration).toEqual({ since: 2_000, timeoutSeconds: 300 });
    expect(decision.events).toEqual([{ type: "MigrationStarted", from: "a", to: "b" }]);
  });

  test("second node, not proven: FAILED_PRECONDITION; not known: UNAVAILABLE", () => {
    const not: Evidence = { singleUser: { kind: "not-proven", reason: "pods x and y use it" } };
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

describe("unpublish", () => {
  test("the last node: export off, attachments cleared, epoch kept", () => {
    const decision = decideUnpublish(onA, "a", 3_000);
    expect(decision.export).toBe("off");
    expect(decision.record).toEqual({ ...onA, attachments: [] });
  });

  test("an unknown node changes nothing", () => {
    expect(decideUnpublish(pair, "x", 3_000)).toEqual({
      kind: "accept",
      record: pair,
      export: "keep",
      events: [],
    });
    expect(decideUnpublish(empty, "x", 3_000)).toEqual({
      kind: "accept",
      record: empty,
      export: "off",
      events: [],
    });
  });

  test("the first of two leaves: completed; the second: failed; both: failed", () => {
    expect(decideUnpublish(pair, "a", 2_050).events).toEqual([
      { type: "MigrationCompleted", to: "b", seconds: 50 },
    ]);
    expect(decideUnpublish(pair, "b", 2_050).events).toEqual([
      { type: "MigrationFailed", stayed: "a", seconds: 50 },
    ]);
    expect(decideUnpublish(pair, "", 2_050).events).toEqual([
      { type: "MigrationFailed", stayed: undefined, seconds: 50 },
    ]);
    expect(decideUnpublish(pair, "a", 2_050).export).toBe("keep");
    expect(decideUnpublish(pair, "a", 2_050).record.migration).toBeUndefined();
    expect(decideUnpublish(pair, "", 2_050).record.attachments).toEqual([]);
  });

  test("clocks that differ give no negative duration", () => {
    expect(decideUnpublish(pair, "a", 10).events).toEqual([
      { type: "MigrationCompleted", to: "b", seconds: 0 },
    ]);
  });
});

test("any sequence keeps the invariants, and each migration ends in exactly one outcome", () => {
  const step = fc.record({
    node: fc.constantFrom("a", "b", "c", ""),
    verb: fc.constantFrom("publish", "publish", "unpublish"),
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
          each.verb === "unpublish"
            ? decideUnpublish(record, each.node, now)
            : decidePublish(record, ask(each.node || "d", each.shared ? shared : {}), now, {
                holderGone: each.holderGone,
                singleUser: { kind: each.proof, reason: "test" },
              });
        expect(decision.kind).not.toBe("ask");
        if (decision.kind !== "accept") continue;
        record = decision.record;
        started += decision.events.filter((event) => event.type === "MigrationStarted").length;
        ended += decision.events.filter((event) => event.type !== "MigrationStarted").length;
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
        expect(started - ended).toBe(record.migration === undefined ? 0 : 1);
      }
    }),
    { numRuns: 500 },
  );
});
