import { describe, expect, test } from "bun:test";
import { DEFAULT_SETTINGS } from "../domain/record/volume-record.ts";
import type { Evidence } from "./decision.ts";
import {
  accepted,
  ask,
  empty,
  pair,
  proven,
  publish,
  refusal,
  shared,
  sharedOnA,
} from "./decisions.fixture.ts";
import { decideUnpublish, forgetEnded } from "./unpublish.ts";

const onA = accepted(publish(empty, ask("a"))).record;

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
