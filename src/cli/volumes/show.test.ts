import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse as parseYaml, stringify } from "yaml";
import {
  changedFacts,
  consistentFacts,
  GIB,
  NOW,
  type Shape,
  unknownCluster,
  unknownRds,
} from "../../../test/support/volume-facts.ts";
import { compareVolume, stateOf } from "../../inspect/compare.ts";
import { absent, known, unknown } from "../../inspect/fact.ts";
import type { VolumeFacts } from "../../inspect/facts.ts";
import { sentenceOf } from "../../inspect/finding.ts";
import { showDocument } from "./show-document.ts";
import { showText, wrap } from "./show-text.ts";

const text = (facts: VolumeFacts, width: number | undefined, colour = false): string =>
  showText(facts, compareVolume(facts), { width, colour });
const squeezed = (value: string): string => value.replaceAll(/\s/g, "");
/** Takes out `ESC [ digits m`. */
const withoutColours = (value: string): string =>
  value
    .split("\u001b[")
    .map((part, index) => (index === 0 ? part : part.replace(/^[\d;]+m/, "")))
    .join("");

/** A volume without PersistentVolume that a copy fills. */
function copyingFacts(): VolumeFacts {
  const line = { line: "01234567", isBusy: false };
  const copy = { done: 42n * GIB, total: 100n * GIB, sourceCreatedAt: 1, sourceEpoch: 0, ...line };
  const cluster = { pv: absent, attachments: known([]) };
  return changedFacts({ record: { copy }, cluster }, { nodes: [] });
}

const LONG: Partial<Shape> = {
  namespace: "a-very-long-namespace-name-of-a-customer-with-many-words-in-it",
  claim: "and-a-claim-whose-name-is-nearly-as-long-as-kubernetes-allows-it-to-be-which-is-very-long-indeed",
  nodes: [
    "worker-0001.rack-17.datacentre-2.storage.example.org",
    "worker-0002.rack-18.datacentre-2.example.org",
  ],
};

describe("for people", () => {
  test("nothing exceeds the width at 80 and at 160 columns, and nothing is lost", () => {
    const facts = changedFacts(
      {
        pv: { capacityBytes: 12n * GIB },
        cluster: {
          events: known([
            {
              about: `Pod/${"p".repeat(200)}`,
              type: "Warning",
              reason: "FailedAttachVolume",
              message: `AttachVolume.Attach failed: ${"x".repeat(300)}`,
              count: 7,
              at: NOW - 90_000,
            },
          ]),
        },
      },
      LONG,
    );
    const drift = compareVolume(facts);
    const unlimited = text(facts, undefined);
    for (const width of [60, 80, 120, 160, 300]) {
      const shown = text(facts, width);
      for (const line of shown.split("\n"))
        expect([...line].length).toBeLessThanOrEqual(Math.min(width, 160));
      for (const { id, evidence, remedy } of drift)
        for (const part of [id, sentenceOf({ evidence }), remedy])
          expect(squeezed(shown)).toContain(squeezed(part));
      // A cell's lines stand beneath each other, so that its characters are all there, line by line.
      expect([...squeezed(shown)].toSorted()).toEqual([...squeezed(unlimited)].toSorted());
    }
    expect(unlimited).toContain(`${LONG.namespace}/${LONG.claim}`);
  });

  test("both sides beside each other, drift marked in its line and listed below", () => {
    const shown = text(changedFacts({ pv: { capacityBytes: 12n * GIB } }), 80);
    expect(shown).toMatch(/^Volume csi-[0-9a-f]{28}: broken, 1 critical\n\n {14}RDS +Kubernetes\n/);
    expect(shown).toMatch(/\n!! size {7}10Gi +12Gi\n/);
    expect(shown).toMatch(/\n {3}claim {6}vms\/disk +vms\/disk\n/);
    expect(shown).toContain("\nDrift:\n!! size-below-pv: The disk has 10Gi, the PersistentVolume 12Gi.\n");
    expect(shown).toContain("      RDS: 10Gi; Kubernetes: 12Gi\n      Remedy: Stop the workload");
    expect(text(consistentFacts(), 80)).not.toContain("Drift");
  });

  test("a drift ends with one full stop, also where the text of a failed attach brings its own", () => {
    const facts = changedFacts({
      attachment: { attachError: { message: "it is attached to node-b. Wait for it.", time: undefined } },
    });
    expect(text(facts, undefined)).toContain("failed: it is attached to node-b. Wait for it.\n");
  });

  test("what is not known is said once, with its reason", () => {
    const shown = text({ ...consistentFacts(), cluster: unknownCluster("--orchestrator is none") }, 80);
    expect(shown).toContain("\nNot known:\n   Kubernetes: --orchestrator is none\n");
    expect(shown).toMatch(/\n {3}claim +vms\/disk +unknown\n/);
    const one = changedFacts({ cluster: { pods: unknown("forbidden"), machines: unknown("forbidden") } });
    expect(text(one, 80)).toContain("   pods, machines: forbidden\n");
    const noRds = text({ ...consistentFacts(), rds: unknownRds("no route") }, 80);
    expect(noRds).toMatch(/^Volume \S+: unknown\n/);
    expect(noRds).toContain("   RDS: no route\n");
    expect(noRds).toContain("PersistentVolume pvc-0a1b2c3d");
  });

  test("nothing of a record that cannot be used is called none, in text and in JSON", () => {
    const reason = "its comment holds no record of this driver";
    const facts = changedFacts({
      rds: { record: unknown(reason), foreign: reason },
      cluster: unknownCluster("down"),
    });
    const lines = text(facts, undefined).split("\n");
    for (const label of ["claim", "mode", "nodes", "migration", "created"])
      expect(lines.find((line) => line.startsWith(`   ${label} `))).toMatch(/^ {3}\w+ +unknown/);
    expect(lines.join("\n")).toContain(`its record cannot be used: ${reason}`);
    expect(lines.join("\n")).not.toContain("not ours");
    const document = showDocument({ facts, handle: facts.handle, name: "x" }, []);
    expect(document).toMatchObject({ rds: { record: { state: "unknown", reason } } });
    const theirs = changedFacts({ rds: { record: absent, foreign: "it belongs to cluster b" } });
    expect(text(theirs, undefined)).toContain("not ours: it belongs to cluster b");
  });

  test("states", () => {
    const of = (facts: VolumeFacts) => stateOf(facts, compareVolume(facts));
    expect([
      of(consistentFacts()),
      of(consistentFacts({ nodes: [] })),
      of(consistentFacts({ nodes: ["node-a", "node-b"] })),
      of(changedFacts({ disk: { exported: false } })),
      of(changedFacts({ disk: "absent" })),
      of(changedFacts({ rds: { record: absent, foreign: "x" } })),
      of({ ...consistentFacts(), rds: unknownRds("x") }),
      of(copyingFacts()),
      of(changedFacts({ record: { conversion: "tidy" } }, { nodes: [] })),
    ]).toEqual([
      "attached",
      "available",
      "migrating",
      "broken",
      "missing",
      "foreign",
      "unknown",
      "copying",
      "copying",
    ]);
  });

  test("an unfinished copy: how far it is, and no complaint that it has no PersistentVolume", () => {
    expect(compareVolume(copyingFacts())).toEqual([]);
    expect(text(copyingFacts(), undefined)).toContain("unfinished, 42 % of 100Gi");
  });

  test("colour does not change the layout", () => {
    const facts = changedFacts({ pv: { capacityBytes: 12n * GIB } }, LONG);
    expect(text(facts, 80)).not.toContain("\u001b");
    expect(text(facts, 80, true)).toContain("\u001b[31;1m");
    expect(withoutColours(text(facts, 80, true))).toBe(text(facts, 80));
  });

  test("hostile text cannot reach the terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (evil) => {
        const facts = changedFacts({
          disk: { nqn: evil, allowHost: evil, filePath: evil, state: evil },
          record: { name: evil, claim: { namespace: evil, name: evil } },
          rds: { file: known({ path: evil, sizeBytes: undefined }) },
          pv: { name: evil, phase: evil },
          claim: { phase: evil, uid: evil },
          attachment: { attachError: { message: evil, time: undefined }, metadata: { nqn: evil } },
          cluster: {
            events: known([{ about: evil, type: evil, reason: evil, message: evil, count: 1, at: NOW }]),
            nodes: unknown(evil),
          },
        });
        const shown = text(facts, 80).replaceAll("\n", "");
        expect(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(shown)).toBe(false);
      }),
      { numRuns: 200 },
    );
  });

  test("wrapping keeps every character and every limit", () => {
    fc.assert(
      fc.property(
        fc.string({ unit: "grapheme", maxLength: 200 }),
        fc.integer({ min: 1, max: 40 }),
        (value, width) => {
          const lines = wrap(value, width);
          for (const line of lines) expect([...line].length).toBeLessThanOrEqual(width);
          expect(squeezed(lines.join(""))).toBe(squeezed(value));
        },
      ),
    );
    expect(wrap("storage-pool/csi/volume.img", 20)).toEqual(["storage-pool/csi/", "volume.img"]);
    expect(wrap("one two three", 8)).toEqual(["one two", "three"]);
  });
});

describe("machine-readable", () => {
  const facts = changedFacts({ pv: { capacityBytes: 12n * GIB }, cluster: { pods: unknown("forbidden") } });
  const shown = { facts, handle: facts.handle, name: "vms/disk" };
  const document = JSON.parse(JSON.stringify(showDocument(shown, compareVolume(facts))));

  test("facts are known, absent or unknown with the reason", () => {
    expect(document).toMatchObject({
      apiVersion: "rds-csi/v1",
      kind: "Volume",
      state: "broken",
      time: "2026-03-01T12:00:00Z",
      rds: {
        disk: { state: "known", value: { sizeBytes: 10_737_418_240, exported: true, port: 4420 } },
        record: { state: "known", value: { epoch: 3, migration: null, attachments: [{ node: "node-a" }] } },
      },
      kubernetes: {
        persistentVolume: { state: "known", value: { capacityBytes: 12_884_901_888 } },
        pods: { state: "unknown", reason: "forbidden" },
      },
      drift: [{ id: "size-below-pv", severity: "critical", rds: "10Gi", kubernetes: "12Gi", node: null }],
    });
    const gone = changedFacts({ claim: "absent" });
    expect(showDocument({ ...shown, facts: gone }, [])).toMatchObject({
      kubernetes: { claim: { state: "absent" } },
    });
  });

  test("YAML says the same", () => {
    expect(parseYaml(stringify(showDocument(shown, compareVolume(facts))))).toEqual(document);
  });
});
