import { describe, expect, test } from "bun:test";
import type { VolumeRecord, VolumeSettings } from "../domain/record/volume-record.ts";
import { asksForLimit, decideDeadline, elapsedSeconds, isOverdue } from "./deadline.ts";
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
import { isAskedAnew, newRevision, withRevision } from "./revision.ts";
import { decideUnpublish, forgetEnded } from "./unpublish.ts";

const withSettings = (record: VolumeRecord, settings: Partial<VolumeSettings>): VolumeRecord => ({
  ...record,
  settings: { ...record.settings, ...settings },
});
const second = (settings: Partial<VolumeSettings>, evidence: Evidence, record = sharedOnA) =>
  publish(withSettings(record, settings), ask("b", shared), 2_000, evidence);
const attachment = (node: string, since: number) => ({
  ...{ node, hostNqn: `nqn.2014-08.org.nvmexpress:uuid:${node}`, readonly: false, since },
  ...{ accessMode: "MULTI_NODE_MULTI_WRITER", accessType: "block" },
});

/** Whole decisions, member by member. */
describe("a second node", () => {
  test("of a proven migration: both attachments, the migration, and no other change", () => {
    expect(second({ migrationTimeoutSeconds: 300 }, proven)).toEqual({
      kind: "accept",
      record: {
        ...withSettings(sharedOnA, { migrationTimeoutSeconds: 300 }),
        attachments: [attachment("a", 1_000), attachment("b", 2_000)],
        migration: { since: 2_000, timeoutSeconds: 300, by: "me", overdueBy: undefined },
      } as VolumeRecord,
      export: "keep",
      events: [],
    });
  });

  test("needs two sides that are both block and both shared", () => {
    for (const over of [{ accessType: "mount" }, { accessMode: "SINGLE_NODE_WRITER" }] as const) {
      const gone = { ...proven, holderGone: false };
      expect(refusal(publish(sharedOnA, ask("b", { ...shared, ...over }), 2_000, gone))).toStartWith(
        "attachedElsewhere: ",
      );
      const first = accepted(publish(empty, ask("a", { ...shared, ...over }))).record;
      expect(refusal(publish(first, ask("b", shared), 2_000, gone))).toStartWith("attachedElsewhere: ");
    }
  });

  test.each<[VolumeSettings["migrationGuard"], Evidence, unknown]>([
    ["enforce", {}, "ask singleUser a"],
    ["warn", {}, "ask singleUser a"],
    ["off", {}, []],
    ["enforce", { singleUser: { kind: "unguarded" } }, []],
    ["enforce", { singleUser: { kind: "unknown", reason: "r" } }, "guardUnavailable"],
    [
      "warn",
      { singleUser: { kind: "unknown", reason: "r" } },
      [{ type: "GuardOverridden", node: "b", reason: "r" }],
    ],
    ["enforce", { singleUser: { kind: "not-proven", reason: "r", waits: true } }, "ask holderGone a"],
    ["warn", { singleUser: { kind: "not-proven", reason: "r", waits: true } }, "ask holderGone a"],
    [
      "enforce",
      { singleUser: { kind: "not-proven", reason: "r", waits: true }, holderGone: false },
      "holderNotDetached",
    ],
    [
      "enforce",
      { singleUser: { kind: "not-proven", reason: "r", waits: false }, holderGone: false },
      "secondNodeNotProven",
    ],
    [
      "warn",
      { singleUser: { kind: "not-proven", reason: "r", waits: false }, holderGone: false },
      [{ type: "GuardOverridden", node: "b", reason: "r" }],
    ],
    [
      "warn",
      { singleUser: { kind: "not-proven", reason: "r", waits: false }, holderGone: true },
      [{ type: "VolumeFenced", node: "a" }],
    ],
  ])("with the guard %s and the evidence %j", (migrationGuard, evidence, expected) => {
    const decision = second({ migrationGuard, migrationTimeoutSeconds: 300 }, evidence);
    const shown =
      decision.kind === "accept"
        ? decision.events
        : decision.kind === "ask"
          ? `ask ${decision.question} ${decision.holder}`
          : decision.error.id;
    expect(shown as unknown).toEqual(expected);
  });

  test("with `auto` has KubeVirt's limit, which is asked for; a fixed one is not", () => {
    const auto = { migrationTimeoutSeconds: "auto" } as const;
    expect(second(auto, proven)).toEqual({ kind: "ask", question: "allowedSeconds", holder: "a" });
    for (const allowedSeconds of [0, 77]) {
      const { record } = accepted(second(auto, { ...proven, allowedSeconds }));
      expect(record.migration?.timeoutSeconds).toBe(allowedSeconds);
    }
    const fixed = accepted(second({ migrationTimeoutSeconds: 40 }, { ...proven, allowedSeconds: 77 }));
    expect(fixed.record.migration?.timeoutSeconds).toBe(40);
  });
});

test("a take-over from a node that is gone is a fresh attachment alone, and fences that node", () => {
  for (const [record, request, evidence] of [
    [accepted(publish(empty, ask("a"))).record, ask("b"), { holderGone: true }],
    [
      sharedOnA,
      ask("b", shared),
      { singleUser: { kind: "not-proven", reason: "r", waits: false }, holderGone: true },
    ],
  ] as const) {
    const decision = accepted(publish({ ...record, epoch: 4 }, request, 3_000, evidence));
    expect(decision.export).toBe("fresh");
    expect(decision.events).toEqual([{ type: "VolumeFenced", node: "a" }]);
    expect(decision.record.epoch).toBe(5);
    expect(decision.record.attachments.map(({ node, since }) => [node, since])).toEqual([["b", 3_000]]);
  }
});

test("an attachment keeps the filesystem that was first allowed, and forgets an old migration", () => {
  const old = { ...empty, filesystem: "xfs", migration: pair.migration } as const;
  const decision = accepted(publish(old, ask("a"), 5));
  expect([decision.record.filesystem, decision.record.migration]).toEqual(["xfs", undefined]);
  expect(decision.events).toEqual([]);
});

describe("a third node", () => {
  const third = (record: VolumeRecord, now = 9_999) =>
    refusal(publish(record, ask("c", shared), now, proven));
  const overdue = {
    ...pair,
    migration: { since: 2_000, timeoutSeconds: 300, by: "me", overdueBy: undefined },
  };

  test("is refused, and the refusal names both nodes while no migration is overdue", () => {
    for (const record of [
      { ...pair, migration: undefined },
      withSettings(overdue, { migrationTimeoutSeconds: "auto" }),
    ])
      expect(third(record)).toMatch(/^thirdNode: .*\ba\b.*\bb\b/);
    expect(third(withSettings(overdue, { migrationTimeoutSeconds: 300 }), 2_300)).toStartWith("thirdNode: ");
  });

  test("hears of an overdue migration: with `auto` once that was found", () => {
    expect(third(withSettings(overdue, { migrationTimeoutSeconds: 300 }), 2_301)).toMatch(
      /^migrationOverdue: .*\b301\b.*\b300\b/,
    );
    const found = { ...overdue, migration: { ...overdue.migration, overdueBy: "other" } };
    expect(third(withSettings(found, { migrationTimeoutSeconds: "auto" }))).toStartWith("migrationOverdue: ");
  });
});

describe("a detach", () => {
  const exportName = { nqn: "nqn.x:csi-1.1", port: 4420, hosts: false };
  const both: VolumeRecord = { ...pair, exportName, invalidations: 3, ended: [] };
  const end = { since: 2_000, at: 2_500, overdue: false, by: "me" };

  test("of one of two: the other keeps the export, and the record has a new revision", () => {
    for (const [node, stayed, moved] of [
      ["a", "b", true],
      ["b", "a", false],
    ] as const) {
      expect(decideUnpublish(both, node, 2_500, "me")).toEqual({
        kind: "accept",
        record: {
          ...both,
          attachments: both.attachments.filter((each) => each.node === stayed),
          migration: undefined,
          invalidations: 4,
          ended: [{ ...end, moved, stayed }],
        },
        export: "keep",
        events: [],
      });
    }
  });

  test("of all: the export is off and its name gone, in the same revision", () => {
    expect(decideUnpublish(both, "", 2_500, "me")).toEqual({
      kind: "accept",
      record: {
        ...both,
        attachments: [],
        exportName: undefined,
        migration: undefined,
        ended: [{ ...end, moved: false, stayed: undefined }],
      },
      export: "off",
      events: [],
    });
  });

  test("of a node that is not attached changes nothing; the export of a free volume is off", () => {
    const free = { ...empty, exportName };
    for (const [record, state] of [
      [both, "keep"],
      [free, "off"],
    ] as const) {
      const decision = decideUnpublish(record, "z", 2_500, "me");
      expect(decision).toEqual({ kind: "accept", record, export: state, events: [] });
      expect(decision.record).toBe(record);
    }
  });

  test("adds the end of a migration to those that are not reported yet; it never ends before it began", () => {
    const earlier = { ...end, since: 1, moved: true, stayed: "b" };
    const { record } = decideUnpublish({ ...both, ended: [earlier] }, "b", 1_000, "me");
    expect(record.ended).toEqual([earlier, { ...end, at: 2_000, moved: false, stayed: "a" }]);
    const single = { ...sharedOnA, ended: [earlier] };
    expect(decideUnpublish(single, "a", 2_500, "me").record.ended).toEqual([earlier]);
  });

  test("of the only node of a migration, which a damaged record may have, has moved nothing", () => {
    const single = { ...sharedOnA, migration: pair.migration };
    expect(decideUnpublish(single, "a", 2_500, "me").record.ended).toEqual([
      { ...end, moved: false, stayed: undefined },
    ]);
  });

  test("forgets what was reported, and nothing else", () => {
    const [one, two] = [
      { ...end, moved: true, stayed: "b" },
      { ...end, since: 5, moved: true, stayed: "b" },
    ];
    const record = { ...both, ended: [one, two] };
    expect(forgetEnded(record, (each) => each === one)).toEqual({ ...record, ended: [two] });
    expect(forgetEnded(record, () => false)).toBe(record);
  });
});

describe("the deadline of a migration", () => {
  const migration = { since: 2_000, timeoutSeconds: 300, by: "me", overdueBy: undefined };

  test("passes after the last second, never without a limit; time does not run backwards", () => {
    expect([1_999, 2_000, 2_001].map((now) => elapsedSeconds(migration, now))).toEqual([0, 0, 1]);
    expect([2_300, 2_301].map((now) => isOverdue(migration, now))).toEqual([false, true]);
    expect(isOverdue({ ...migration, timeoutSeconds: 1 }, 2_002)).toBe(true);
    expect(isOverdue({ ...migration, timeoutSeconds: 0 }, 99_999)).toBe(false);
  });

  test("asks for KubeVirt's limit only with `auto`, without a limit or once it has passed, and until it is reported", () => {
    const asks = (over: Partial<typeof migration> | undefined, limit: number | "auto", now = 2_301) =>
      asksForLimit(
        withSettings(
          { ...pair, migration: over === undefined ? undefined : { ...migration, ...over } },
          { migrationTimeoutSeconds: limit },
        ),
        now,
      );
    expect(asks({}, "auto")).toBe(true);
    expect(asks({ timeoutSeconds: 0 }, "auto", 2_000)).toBe(true);
    expect(asks({}, "auto", 2_300)).toBe(false);
    expect(asks({}, 300)).toBe(false);
    expect(asks({ timeoutSeconds: 0 }, 300)).toBe(false);
    expect(asks(undefined, "auto")).toBe(false);
    const record = withSettings(
      { ...pair, migration: { ...migration, overdueBy: "me" } },
      { migrationTimeoutSeconds: "auto" },
    );
    expect(asksForLimit(record, 9_999)).toBe(false);
  });

  test("takes a limit that has changed; the same limit is no change", () => {
    const record = { ...pair, migration };
    const decision = (since: Partial<typeof migration>) => ({
      ...{ kind: "accept", export: "keep", events: [] },
      record: { ...record, migration: { ...migration, ...since } },
    });
    expect(decideDeadline(record, 2_010, "me", 500)).toEqual(decision({ timeoutSeconds: 500 }) as never);
    expect(decideDeadline(record, 2_010, "me", 300)).toBeUndefined();
    expect(decideDeadline(record, 2_010, "me")).toBeUndefined();
    expect(decideDeadline(record, 2_301, "me", 301)).toEqual(decision({ timeoutSeconds: 301 }) as never);
    expect(decideDeadline(record, 2_301, "x", 300)?.record.migration?.overdueBy).toBe("x");
    expect(decideDeadline({ ...record, migration: undefined }, 2_301, "me", 5)).toBeUndefined();
  });
});

describe("a revision", () => {
  test("counts from nothing, and a decision gets one only if it changes nothing", () => {
    const record = { ...pair, invalidations: undefined };
    expect(newRevision(record)).toEqual({ ...record, invalidations: 1 });
    expect(newRevision({ ...record, invalidations: 1 }).invalidations).toBe(2);
    const decision = { kind: "accept", record, export: "keep", events: [] } as const;
    expect(withRevision(record, decision)).toEqual({ ...decision, record: newRevision(record) });
    expect(withRevision({ ...record }, decision)).toBe(decision);
  });

  test("shows that a node was asked for anew", () => {
    const [a, b] = pair.attachments;
    if (a === undefined || b === undefined) throw new Error("no pair");
    expect(isAskedAnew(pair, { ...pair }, "a")).toBe(false);
    expect(isAskedAnew(pair, { ...pair, attachments: [a, { ...b, since: 9 }] }, "a")).toBe(false);
    expect(isAskedAnew(pair, { ...pair, attachments: [a, { ...b, since: 9 }] }, "b")).toBe(true);
    expect(isAskedAnew(pair, { ...pair, attachments: [b] }, "a")).toBe(true);
    expect(isAskedAnew(pair, { ...pair, epoch: pair.epoch + 1 }, "a")).toBe(true);
    expect(isAskedAnew(pair, newRevision(pair), "a")).toBe(true);
  });
});
