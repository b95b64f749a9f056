import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { CASES } from "../../test/support/volume-cases.ts";
import {
  changedFacts,
  consistentFacts,
  GIB,
  type Shape,
  unknownCluster,
  unknownRds,
} from "../../test/support/volume-facts.ts";
import { detailsOf, worldOf } from "../../test/support/volume-world.ts";
import { VOLUME_FINDING_IDS, type VolumeFindingId, volumeCatalogue } from "./catalogue.ts";
import { compareVolume } from "./compare.ts";
import { type Aspect, REMEDY_WORDS } from "./entry.ts";
import { absent, known, notAsked, unknown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";
import { exactSize, sentenceOf } from "./finding.ts";
import { gatherVolume } from "./gather.ts";
import { volumeFacts } from "./world.ts";

const idsOf = (facts: VolumeFacts): VolumeFindingId[] => compareVolume(facts).map(({ id }) => id);
const none: Partial<Shape> = { nodes: [] };

const shapes: fc.Arbitrary<Shape> = fc
  .record({
    name: fc.stringMatching(/^pvc-[0-9a-f]{8}$/),
    namespace: fc.stringMatching(/^[a-z]{1,20}$/),
    claim: fc.stringMatching(/^[a-z]{1,40}$/),
    sizeBytes: fc.bigInt(1n, 1n << 24n).map((mib) => mib << 20n),
    nodes: fc.uniqueArray(fc.stringMatching(/^node-[a-z0-9]{1,12}$/), { maxLength: 2 }),
    block: fc.boolean(),
    epoch: fc.integer({ min: 1, max: 1_000_000 }),
    fencing: fc.constantFrom("epoch", "epoch+hosts", "off"),
    since: fc.integer({ min: 0, max: 299 }),
  })
  // Two nodes share block devices only.
  .map((shape) => (shape.nodes.length === 2 ? { ...shape, block: true } : shape));

test("a disk that the earlier driver rounded down is no lost end of data; a smaller one is", () => {
  const handle = "pvc-0b2c6a3e-6f0e-4a5b-9a43-2f1f0c8f7d11" as VolumeFacts["handle"];
  const found = (size: bigint, capacityBytes: bigint, id = handle) => {
    const facts = consistentFacts({ nodes: [] });
    const { rds, cluster } = facts;
    if (rds.disk.state !== "known" || cluster.pv.state !== "known") throw new Error("no facts");
    const compared = compareVolume({
      ...facts,
      handle: id,
      rds: { ...rds, disk: known({ ...rds.disk.value, size }), file: notAsked("") },
      cluster: { ...cluster, pv: known({ ...cluster.pv.value, capacityBytes }), claim: notAsked("") },
    });
    return compared.find((each) => each.id === "size-below-pv")?.severity;
  };
  const { handle: ours } = consistentFacts();
  expect(found(1024n * GIB, 1536n * GIB)).toBe("warning");
  expect(found(1024n * GIB, 1536n * GIB, ours)).toBe("critical");
  expect(found(1023n * GIB, 1536n * GIB)).toBe("critical");
  expect(found(512n * GIB, 1023n * GIB)).toBe("critical");
});

describe("what agrees", () => {
  test("a consistent world has no drift", () => {
    fc.assert(fc.property(shapes, (shape) => expect(compareVolume(consistentFacts(shape))).toEqual([])));
  });

  test("what is unknown agrees with anything: no side alone says anything of the other", () => {
    for (const { change, shape } of CASES) {
      const facts = changedFacts(change, shape);
      const withoutCluster = { ...facts, cluster: unknownCluster("down") };
      const withoutRds = { ...facts, rds: unknownRds("down") };
      const all = new Set(idsOf(facts));
      for (const drift of compareVolume(withoutCluster)) {
        expect([drift.id, drift.kubernetes]).toEqual([drift.id, undefined]);
        // Whether a PersistentVolume names the disk is not known any more.
        expect(all.has(drift.id) || ["foreign-disk", "file-owner-unknown"].includes(drift.id)).toBe(true);
      }
      for (const drift of compareVolume(withoutRds)) {
        expect([drift.id, drift.rds]).toEqual([drift.id, undefined]);
        expect(all.has(drift.id)).toBe(true);
      }
      const neither = { ...withoutCluster, rds: unknownRds("down") };
      expect(compareVolume(neither)).toEqual([]);
    }
  });

  test("any single fact that is unknown adds nothing", () => {
    const fields = [
      "pv",
      "claim",
      "storageClass",
      "attachments",
      "pods",
      "machines",
      "nodes",
      "events",
    ] as const;
    for (const { change, shape } of CASES) {
      const facts = changedFacts(change, shape);
      const before = new Set(idsOf(facts));
      for (const field of fields) {
        const less = { ...facts, cluster: { ...facts.cluster, [field]: unknown("forbidden") } };
        // Whether the node is gone is not known any more: it is just not attached. Nor whether a PersistentVolume names a disk
        // without a usable record.
        const milder = { nodes: "attachment-without-va", pv: "foreign-disk" } as Record<string, string>;
        const unclear = (id: string) => field === "pv" && id === "file-owner-unknown";
        for (const id of idsOf(less))
          expect(before.has(id) || milder[field] === id || unclear(id)).toBe(true);
      }
      for (const field of ["disk", "record", "file", "pool"] as const) {
        const less = { ...facts, rds: { ...facts.rds, [field]: unknown("timeout") } };
        // Without the pool, the file that is missing is news of its own.
        for (const id of idsOf(less))
          expect(before.has(id) || (field === "pool" && id === "file-missing")).toBe(true);
      }
    }
  });
});

describe("what disagrees", () => {
  for (const { what, ids, change, shape } of CASES) {
    test(`${what}: ${ids.join(", ") || "nothing"}`, () => {
      const found = compareVolume(changedFacts(change, shape));
      expect(found.map(({ id }) => id).toSorted()).toEqual([...ids].toSorted());
      for (const { id, severity, about, remedy, evidence, rds, kubernetes } of found) {
        const entry = volumeCatalogue[id];
        expect({ severity, about }).toEqual({ severity: entry.severity, about: entry.about as Aspect });
        expect(remedy).toMatch(anyNames(entry.remedy));
        expect(sentenceOf({ evidence })).not.toMatch(/\.$|undefined|NaN/);
        expect(`${rds} ${kubernetes}`).not.toBe("undefined undefined");
      }
    });
  }

  test("every drift of the catalogue is found by some case", () => {
    const found = new Set(CASES.flatMap(({ ids }) => ids));
    // Only the process that reconciles knows that it could not.
    expect(VOLUME_FINDING_IDS.filter((id) => !found.has(id))).toEqual(["not-reconciled"]);
  });

  test("the worst comes first, causes before what follows from them", () => {
    const facts = changedFacts({
      disk: { exported: false },
      claim: { requestedBytes: 11n * GIB },
      record: { claim: { namespace: "a", name: "b" } },
      cluster: { attachments: known([]) },
    });
    expect(idsOf(facts)).toEqual(["not-exported", "attachment-without-va", "expansion-pending", "claim-ref"]);
  });

  test("both sides' values and the node", () => {
    const [found] = compareVolume(changedFacts({ pv: { capacityBytes: 12n * GIB } }));
    expect(found).toMatchObject({ id: "size-below-pv", rds: "10Gi", kubernetes: "12Gi", node: undefined });
    const [without] = compareVolume(changedFacts({ cluster: { attachments: known([]) } }));
    expect(without).toMatchObject({
      rds: "attached to node-a",
      kubernetes: "no VolumeAttachment",
      node: "node-a",
    });
  });
});

test("remedies name the objects that are known, and keep a word for others and for names that need quotes", () => {
  const remedyOf = (facts: VolumeFacts, wanted: VolumeFindingId) =>
    compareVolume(facts).find(({ id }) => id === wanted)?.remedy ?? "";
  const off = changedFacts({ disk: { exported: false } });
  expect(remedyOf(changedFacts({ disk: { mountFilesystem: true } }), "mount-filesystem")).toContain(
    `/disk set [find where slot=${off.handle}] mount-filesystem=no`,
  );
  const pending = changedFacts({ claim: { requestedBytes: 20n * GIB } });
  expect(remedyOf(pending, "expansion-pending")).toContain("`kubectl -n vms describe pvc disk`");
  expect(remedyOf({ ...off, cluster: unknownCluster("down") }, "not-exported")).toContain("delete pod POD`");
  const evil = changedFacts({ pv: { name: "x; rm -rf /", phase: "Released" }, claim: "absent" }, none);
  expect(remedyOf(evil, "pv-released")).toContain("`kubectl describe pv PV`");
});

/** Matches a remedy with any names filled in. */
function anyNames(remedy: string): RegExp {
  const escaped = remedy.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(
    `^${escaped.replaceAll(new RegExp(`\\b(${REMEDY_WORDS.join("|")})\\b`, "g"), "[\\w.:/-]+")}$`,
  );
}

test("removal of a file is proposed last, and never while a PersistentVolume may name its volume", () => {
  const lost = { disk: "absent", rds: { record: absent } } as const;
  const cluster = unknownCluster("the API server does not answer");
  const unclear = compareVolume(changedFacts({ ...lost, cluster }));
  expect(unclear.map(({ id, severity }) => [id, severity])).toEqual([["file-owner-unknown", "error"]]);
  expect(unclear.map(sentenceOf).join()).toContain(
    "whether a PersistentVolume names the volume is not known: the API server does not answer",
  );
  expect(unclear.map(({ remedy }) => remedy).join()).not.toMatch(/\/file remove|--delete/);
  const nobody = { pv: "absent", claim: "absent", cluster: { attachments: known([]) } } as const;
  const [left] = compareVolume(changedFacts({ ...lost, ...nobody }, none));
  expect(left?.id).toBe("file-left");
  expect(left?.remedy).toMatch(/\/disk add .*volumes orphans --delete /);
});

test("a device that is not ready: the command that looks for its file comes first", () => {
  const [found] = compareVolume(changedFacts({ disk: { size: undefined } }));
  expect(found?.id).toBe("device-not-ready");
  expect(found?.remedy).toStartWith(
    `\`rds-csi volumes show ${consistentFacts().handle}\` looks whether its file is there. `,
  );
});

test("the pool of a volume without a disk item is unknown", () => {
  const world = worldOf(changedFacts({ disk: "absent" }));
  const { pool } = volumeFacts(world, consistentFacts().handle).rds;
  expect(pool).toEqual(notAsked("no disk item names a pool"));
});

describe("a file that is not found", () => {
  const fileOf = async (facts: VolumeFacts) =>
    (await gatherVolume(worldOf(facts), facts.handle, detailsOf(facts))).rds.file;
  const gone = { file: absent };

  test("is absent where its pool is mounted, else unknown", async () => {
    expect(await fileOf(changedFacts({ rds: gone }))).toEqual(absent);
    expect(await fileOf(changedFacts({ rds: { ...gone, pool: absent } }))).toEqual(
      unknown("its pool is not mounted"),
    );
  });

  test("of a volume without disk item, is unknown without any mounted pool", async () => {
    expect(await fileOf(changedFacts({ disk: "absent", rds: { ...gone, pool: absent } }))).toEqual(
      unknown("no pool is mounted"),
    );
  });
});

describe("a disk item whose record cannot be used", () => {
  const reason = "its comment holds no record of this driver";
  const foreign = { rds: { record: unknown(reason), foreign: reason } };
  const nobody = { pv: "absent", claim: "absent", cluster: { attachments: known([]) } } as const;

  test("has an unknown record, one of another cluster has none", () => {
    const of = (change: Parameters<typeof changedFacts>[0]) => {
      const facts = changedFacts(change);
      return volumeFacts(worldOf(facts), facts.handle).rds.record;
    };
    expect(of(foreign)).toEqual(unknown(reason));
    expect(of({ rds: { record: absent, foreign: "it belongs to cluster b" } })).toEqual(absent);
  });

  test("is an error while it is exported, else a warning", () => {
    const of = (exported: boolean) =>
      compareVolume(changedFacts({ ...foreign, ...nobody, disk: { exported } })).map(
        ({ id, severity, evidence }) => [id, severity, ...evidence],
      );
    const text = `Its record cannot be used: ${reason}`;
    expect(of(true)).toEqual([["foreign-disk", "error", `${text}; the disk is exported`]]);
    expect(of(false)).toEqual([["foreign-disk", "warning", text]]);
  });

  test("that belongs to another cluster is a warning, exported or not", () => {
    const theirs = { rds: { record: absent, foreign: "it belongs to cluster b" } };
    const found = compareVolume(changedFacts({ ...theirs, ...nobody, disk: { exported: true } }));
    expect(found.map(({ id, severity }) => [id, severity])).toEqual([["foreign-disk", "warning"]]);
  });
});

test("sizes are exact", () => {
  expect([0n, 1n, 1024n, 1n << 20n, (1n << 30n) + 1n, 3n << 29n, 1n << 62n].map(exactSize)).toEqual([
    "0 bytes",
    "1 bytes",
    "1Ki",
    "1Mi",
    "1073741825 bytes",
    "1536Mi",
    "4096Pi",
  ]);
});
