import { describe, expect, test } from "bun:test";
import { CASES } from "../../test/support/volume-cases.ts";
import { changedFacts } from "../../test/support/volume-facts.ts";
import { VOLUME_FINDING_IDS } from "./catalogue.ts";
import { compareVolume } from "./compare.ts";
import { conditionOf, healthOfFaults, healthOfFindings, NODE_RATINGS, VOLUME_RATINGS } from "./health.ts";

type Rated = { readonly status: string; readonly reason: string };
const rated = (table: object): [string, Rated][] =>
  Object.entries(table).filter((each): each is [string, Rated] => "status" in each[1]);

describe("the table of ratings", () => {
  test("has every finding of the catalogue, and says why each that is not about health is not", () => {
    expect(Object.keys(VOLUME_RATINGS).toSorted()).toEqual([...VOLUME_FINDING_IDS].toSorted());
    for (const rating of Object.values(VOLUME_RATINGS)) {
      if ("notHealth" in rating) expect(rating.notHealth).not.toBe("");
    }
  });

  test.each([
    ["volume", VOLUME_RATINGS],
    ["node", NODE_RATINGS],
  ])("%s: a reason is one word in CamelCase, and of one finding only", (_what, table) => {
    const reasons = rated(table).map(([, { reason }]) => reason);
    expect(reasons.filter((reason) => !/^([A-Z][a-z]+)+$/.test(reason))).toEqual([]);
    expect(new Set(reasons).size).toBe(reasons.length);
  });

  test("data is called lost only where its file is proven to be missing", () => {
    const lost = [...rated(VOLUME_RATINGS), ...rated(NODE_RATINGS)].filter(
      ([, { status }]) => status === "data-loss",
    );
    expect(lost.map(([id]) => id)).toEqual(["file-missing"]);
  });

  test("what keeps every node out is inaccessible", () => {
    const out = rated(VOLUME_RATINGS).filter(([, { status }]) => status === "inaccessible");
    expect(out.map(([id]) => id).toSorted()).toEqual([
      "device-not-ready",
      "export-nqn",
      "export-port",
      "not-exported",
      "pool-not-mounted",
      "re-export-interrupted",
      "volume-missing",
    ]);
  });
});

describe("both dialects say the same of every state of a volume", () => {
  for (const { what, change, shape, ids } of CASES)
    test(what, () => {
      const findings = compareVolume(changedFacts(change, shape));
      const health = healthOfFindings(findings);
      const expected = new Set(
        ids.flatMap((id) => {
          const rating = VOLUME_RATINGS[id];
          return "notHealth" in rating ? [] : [`${rating.status} ${rating.reason}`];
        }),
      );
      expect(new Set(health.map(({ status, reason }) => `${status} ${reason}`))).toEqual(expected);
      // Status and reason are unique in a volume.
      expect(health).toHaveLength(expected.size);
      expect(conditionOf(health).abnormal).toBe(expected.size > 0);
      for (const { message } of health) expect(conditionOf(health).message).toContain(message);
    });
});

test("a trouble of two nodes is one entry with both; the same text is said once", () => {
  const about = { id: "va-without-attachment", remedy: "Restart." } as const;
  const health = healthOfFindings([
    { ...about, evidence: ["Node a"] },
    { ...about, evidence: ["Node b"] },
    { ...about, evidence: ["Node a"] },
  ]);
  expect(health).toEqual([
    { status: "degraded", reason: "AttachmentLost", message: "Node a. Restart.; Node b. Restart." },
  ]);
});

test("a normal volume has a condition with a text, and no entries", () => {
  expect(conditionOf([])).toEqual({ abnormal: false, message: "nothing adverse is known of the volume" });
  expect([healthOfFindings([]), healthOfFaults([])]).toEqual([[], []]);
});

test("faults of a node", () => {
  expect(
    healthOfFaults([
      { cause: "not-live", message: "the connection is not live" },
      { cause: "read-only", message: "the filesystem went read-only" },
    ]),
  ).toEqual([
    { status: "inaccessible", reason: "ConnectionNotLive", message: "the connection is not live" },
    { status: "degraded", reason: "FilesystemReadOnly", message: "the filesystem went read-only" },
  ]);
});
