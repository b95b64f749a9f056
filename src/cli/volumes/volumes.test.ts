import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse as parseYaml } from "yaml";
import { isPrintable } from "../../domain/printable.ts";
import { DEFAULT_SETTINGS } from "../../domain/record/volume-record.ts";
import { shortSize } from "../../domain/size.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Disk } from "../../rds/disk.ts";
import { classify, type ForeignDisk, type RdsVolume } from "../../rds/volume.ts";
import { listedVolumes } from "./from-rds.ts";
import type { ListedVolume } from "./model.ts";
import { type RenderOptions, renderVolumes } from "./render.ts";
import { shortAge, shortDuration, tableLines } from "./text.ts";
import { changeLine, changesBetween, frameLines } from "./watch-view.ts";

const NOW = Date.parse("2026-03-01T12:00:00Z");
const table: RenderOptions = { format: "table", now: NOW, width: 80, colour: false };

function volume(more: Partial<ListedVolume> = {}): ListedVolume {
  return {
    handle: volumeIdFromName("a"),
    csiName: "pvc-1",
    state: "attached",
    sizeBytes: 10n << 30n,
    pvc: { namespace: "vms", name: "disk" },
    nodes: [{ node: "n1", since: "2026-03-01T11:00:00Z", accessMode: "SINGLE_NODE_WRITER", readonly: false }],
    migration: undefined,
    createdAt: "2026-02-20T12:00:00Z",
    nqn: "nqn.2000-02.com.mikrotik:x.1",
    exported: true,
    path: "storage-pool/csi/x.img",
    problems: [],
    ...more,
  };
}

/** Takes out `ESC [ digits m`. */
const withoutColours = (text: string): string =>
  text
    .split("\u001b[")
    .map((part, index) => (index === 0 ? part : part.replace(/^\d+m/, "")))
    .join("");

describe("table", () => {
  test("fits 80 columns, whole handle and all columns", () => {
    const text = renderVolumes([volume()], table);
    expect(text).toBe(
      [
        "STATE     SIZE  PVC       NODES  AGE  HANDLE",
        `attached  10Gi  vms/disk  n1     9d   ${volumeIdFromName("a")}`,
        "",
      ].join("\n"),
    );
  });

  test("long names are cut to the terminal, never the handle; nothing is cut without a terminal", () => {
    const long = volume({
      pvc: { namespace: "a-very-long-namespace-name", name: "with-a-very-long-claim-name" },
      nodes: ["worker-0001.example", "worker-0002.example"].map((node) => ({
        node,
        since: "2026-03-01T11:58:00Z",
        accessMode: "MULTI_NODE_MULTI_WRITER",
        readonly: false,
      })),
    });
    for (const line of renderVolumes([long], table).trimEnd().split("\n"))
      expect([...line].length).toBeLessThanOrEqual(80);
    expect(renderVolumes([long], table)).toContain(long.handle);
    expect(renderVolumes([long], table)).toContain("…");
    const piped = renderVolumes([long], { ...table, width: undefined });
    expect(piped).toContain("a-very-long-namespace-name/with-a-very-long-claim-name");
    expect(piped).toContain("worker-0001.example,worker-0002.example");
    const tiny = renderVolumes([long], { ...table, width: 10 });
    expect(tiny).toContain(long.handle);
  });

  test("a migration shows elapsed and allowed time, and when it is overdue", () => {
    const migration = { since: "2026-03-01T11:57:50Z", timeoutSeconds: 300, overdue: false };
    expect(renderVolumes([volume({ state: "migrating", migration })], table)).toContain("2m10s/5m");
    const unlimited = { ...migration, timeoutSeconds: 0 };
    expect(renderVolumes([volume({ state: "migrating", migration: unlimited })], table)).toContain(
      "2m10s/none",
    );
    const late = { since: "2026-03-01T11:50:00Z", timeoutSeconds: 300, overdue: true };
    const overdue = volume({ state: "migrating", migration: late });
    expect(renderVolumes([overdue], { ...table, width: 160 })).toContain("10m/5m OVERDUE");
    expect(renderVolumes([overdue], table)).toContain("10m/5m OVER…");
    // With long names and times all of it is still on 80 columns, the handle whole.
    const pvc = { namespace: "a-long-namespace", name: "with-a-long-name" };
    const nodes = ["worker-0001.example", "worker-0002.example"].map((node) => ({
      node,
      since: "2026-03-01T11:58:00Z",
      accessMode: "MULTI_NODE_MULTI_WRITER",
      readonly: false,
    }));
    const [title = "", row = ""] = renderVolumes(
      [{ ...overdue, sizeBytes: 2_047n << 29n, pvc, nodes }],
      table,
    ).split("\n");
    expect([title, row].map((line) => [...line].length <= 80)).toEqual([true, true]);
    expect(title.split(/ +/)).toEqual(["STATE", "SIZE", "PVC", "NODES", "MIGRATION", "HANDLE"]);
    expect(row).toContain(`10m/5m OV…  ${overdue.handle}`);
    expect(renderVolumes([overdue], { ...table, width: 160 })).toContain("AGE");
    expect(renderVolumes([volume()], table)).not.toContain("MIGRATION");
  });

  test("problems are listed below, with the handle", () => {
    const text = renderVolumes([volume({ state: "broken", problems: ["not exported"] })], table);
    expect(text).toContain(`\nProblems:\n${volume().handle}: not exported\n`);
  });

  test("no volumes", () => expect(renderVolumes([], table)).toBe("No volumes.\n"));

  test("wide shows everything and is never cut", () => {
    const text = renderVolumes([volume()], { ...table, format: "wide", width: 40 });
    for (const part of [
      "NAME",
      "EXPORTED",
      "NQN",
      "PATH",
      "MIGRATION",
      "storage-pool/csi/x.img",
      "mikrotik:x.1",
    ]) {
      expect(text).toContain(part);
    }
  });

  test("colour only when asked for, and it does not change the layout", () => {
    const all = (["available", "attached", "migrating", "foreign", "broken"] as const).map((state) =>
      volume({ state }),
    );
    const plain = renderVolumes(all, table);
    const coloured = renderVolumes(all, { ...table, colour: true });
    expect(plain).not.toContain("\u001b");
    expect(coloured).toContain("\u001b[31mbroken\u001b[0m");
    expect(withoutColours(coloured)).toBe(plain);
  });

  test("hostile text cannot reach the terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30 }), (text) => {
        const hostile = volume({
          csiName: text,
          pvc: { namespace: text, name: text },
          problems: [text],
          nqn: text,
          path: text,
        });
        for (const format of ["table", "wide"] as const) {
          const rendered = renderVolumes([hostile], { ...table, format });
          expect(/[\p{Cc}\p{Cf}]/u.test(rendered.replaceAll("\n", ""))).toBe(false);
          expect(rendered.split("\n").length).toBe(6);
        }
      }),
    );
  });
});

describe("machine-readable", () => {
  const migration = { since: "2026-03-01T11:57:50Z", timeoutSeconds: 300, overdue: false };
  const all = [volume({ migration }), volume({ pvc: undefined, createdAt: undefined, state: "foreign" })];

  test("JSON has version, kind and every field", () => {
    const read = JSON.parse(renderVolumes(all, { ...table, format: "json" }));
    expect([read.apiVersion, read.kind, read.items.length]).toEqual(["rds-csi/v1", "VolumeList", 2]);
    expect(Object.keys(read.items[0]).sort()).toEqual(
      [
        "createdAt",
        "csiName",
        "exported",
        "handle",
        "migration",
        "nodes",
        "nqn",
        "path",
        "problems",
        "pvc",
        "sizeBytes",
        "state",
      ].sort(),
    );
    expect(read.items[0]).toMatchObject({
      sizeBytes: 10_737_418_240,
      migration,
      pvc: { namespace: "vms", name: "disk" },
    });
    expect(read.items[1]).toMatchObject({ pvc: null, createdAt: null, migration: null });
    expect(JSON.parse(renderVolumes([], { ...table, format: "json" })).items).toEqual([]);
  });

  test("YAML says the same", () => {
    const json: unknown = JSON.parse(renderVolumes(all, { ...table, format: "json" }));
    expect(parseYaml(renderVolumes(all, { ...table, format: "yaml" })) as unknown).toEqual(json);
  });
});

describe("mapping from the RDS", () => {
  const id = volumeIdFromName("x");
  const disk: Disk = {
    slot: id,
    type: "file",
    comment: "",
    filePath: "storage-pool/csi/x.img",
    size: 1n << 30n,
    free: undefined,
    mounted: false,
    mountPoint: "",
    fs: "",
    state: "",
    mountFilesystem: false,
    exported: true,
    nqn: "nqn.x",
    port: 4420,
    allowHost: "",
  };
  const attachment = {
    node: "n1",
    hostNqn: "h",
    accessMode: "SINGLE_NODE_WRITER",
    accessType: "block",
    readonly: false,
    since: NOW / 1000 - 60,
  } as const;
  const ours = (record: Partial<RdsVolume["record"]>, changed: Partial<Disk> = {}): RdsVolume => ({
    id,
    disk: { ...disk, ...changed },
    record: {
      name: "pvc-1",
      cluster: "default",
      claim: undefined,
      createdAt: NOW / 1000 - 3600,
      source: undefined,
      filesystem: undefined,
      epoch: 1,
      attachments: [attachment],
      migration: undefined,
      ended: [],
      settings: DEFAULT_SETTINGS,
      unknown: [],
      ...record,
    },
  });
  const one = (volumes: RdsVolume[]): ListedVolume | undefined =>
    listedVolumes({ volumes, foreign: [] }, NOW)[0];

  test("a record that nobody can read is one row, and every form shows the others", () => {
    const good = { slot: volumeIdFromName("good"), comment: "rds1;n=good;c=default;t=1700000000" };
    const numbers = fc.oneof(
      fc.constantFrom(
        "999999999999999",
        "253402300799",
        "253402300800",
        "8640000000001",
        "-1",
        "0",
        "1e9",
        "NaN",
      ),
      fc.bigInt({ min: 0n, max: 10n ** 16n }).map(String),
    );
    const texts = fc.oneof(
      fc.string({ unit: "binary", maxLength: 12 }),
      fc.constantFrom("\u001b[2J", "%1B[2J", "%C2%9B", "%E2%80%AE", "%FF", "a,b|c;d"),
    );
    const comments = fc.oneof(
      numbers.map((t) => `rds1;n=bad;c=default;t=${t}`),
      fc
        .tuple(numbers, numbers, numbers, texts)
        .map(
          ([t, since, at, by]) =>
            `rds1;n=bad;c=default;t=${t};a=n,q,0,mw,${since}|o,q,0,mw,1;m=${at},${since},${by},;x=${since},${at},m-,,p`,
        ),
      fc.tuple(texts, texts).map(([n, c]) => `rds1;n=${n};c=${c};t=1`),
      texts.map((rest) => `rds1;n=bad;c=default;t=1;a=${rest}`),
      texts,
    );
    fc.assert(
      fc.property(comments, (comment) => {
        const found = { volumes: [] as RdsVolume[], foreign: [] as ForeignDisk[] };
        for (const each of [good, { slot: id, comment }]) {
          const read = classify(
            { ...disk, ...each, filePath: `storage-pool/csi/${each.slot}.img` },
            "default",
          );
          if (read?.kind === "volume") found.volumes.push(read.volume);
          if (read?.kind === "foreign") found.foreign.push(read.foreign);
        }
        const volumes = listedVolumes(found, NOW);
        expect(volumes.map(({ handle }) => handle).sort()).toEqual([good.slot, id].sort());
        const look = { volumes, drift: [], readAt: NOW, now: NOW, troubles: [] };
        const shown = [
          ...(["table", "wide", "json", "yaml"] as const).map((format) =>
            renderVolumes(volumes, { ...table, format }),
          ),
          ...[true, false].map((json) =>
            changesBetween(undefined, look)
              .map((change) => changeLine(change, NOW, json))
              .join(""),
          ),
          frameLines(look, { wide: true, columns: 80, rows: 40, colour: false }).join("\n"),
        ];
        for (const text of shown) {
          expect(text).toContain(good.slot);
          expect(text).toContain(id);
          expect(text).not.toMatch(/Invalid Date|NaN[smhd]|[+]\d{6}-/);
          expect(isPrintable(text.replaceAll("\n", ""))).toBe(true);
        }
      }),
      { numRuns: 300 },
    );
  });

  test("states", () => {
    expect(one([ours({})])).toMatchObject({
      state: "attached",
      problems: [],
      createdAt: "2026-03-01T11:00:00Z",
    });
    expect(one([ours({ attachments: [] }, { exported: false })])).toMatchObject({
      state: "available",
      problems: [],
    });
    const both = [attachment, { ...attachment, node: "n2" }];
    const migration = { since: NOW / 1000 - 10, timeoutSeconds: 300, by: "p", overdueBy: undefined };
    expect(one([ours({ attachments: both, migration })])).toMatchObject({ state: "migrating", problems: [] });
    const late = one([
      ours({
        attachments: both,
        migration: { since: NOW / 1000 - 301, timeoutSeconds: 300, by: "p", overdueBy: undefined },
      }),
    ]);
    expect(late).toMatchObject({ state: "migrating", migration: { overdue: true } });
    expect(late?.problems.length).toBe(1);
  });

  test("contradictions between record and export are problems", () => {
    expect(one([ours({}, { exported: false })])).toMatchObject({
      state: "broken",
      problems: [expect.stringContaining("not exported")],
    });
    expect(one([ours({ attachments: [] })])).toMatchObject({
      state: "broken",
      problems: [expect.stringContaining("no node")],
    });
    expect(one([ours({}, { size: undefined })])).toMatchObject({ state: "broken", sizeBytes: 0n });
    expect(one([ours({}, { mountFilesystem: true })])?.problems).toEqual([
      expect.stringContaining("mount-filesystem"),
    ]);
  });

  test("foreign disks tell why, and all are sorted by handle", () => {
    const other = volumeIdFromName("y");
    const found = {
      volumes: [ours({})],
      foreign: [
        {
          id: other,
          disk: { ...disk, slot: other },
          cause: "other-cluster" as const,
          reason: "it belongs to cluster b",
        },
      ],
    };
    const listed = listedVolumes(found, NOW);
    expect(listed.map(({ handle }) => handle)).toEqual([id, other].sort());
    expect(listed.find(({ handle }) => handle === other)).toMatchObject({
      state: "foreign",
      problems: ["it belongs to cluster b"],
    });
  });
});

test("sizes, durations and ages", () => {
  expect(
    [0n, 1n, 1023n, 1024n, 1536n, 10n << 30n, (3n << 40n) / 2n, 1n << 70n].map((bytes) => shortSize(bytes)),
  ).toEqual(["0", "1", "1023", "1Ki", "1.5Ki", "10Gi", "1.5Ti", "1024Ei"]);
  // A need is rounded up, room is rounded down: a need never looks like the room that is too small for it.
  const almost = (3n << 30n) / 2n - 1n;
  expect([shortSize(almost), shortSize(almost, "up"), shortSize(64n << 20n, "up")]).toEqual([
    "1.4Gi",
    "1.5Gi",
    "64Mi",
  ]);
  expect([-5, 0, 59, 60, 61, 3600, 7260, 86_400 * 3].map(shortDuration)).toEqual([
    "0s",
    "0s",
    "59s",
    "1m",
    "1m1s",
    "1h",
    "2h1m",
    "3d",
  ]);
  expect([61, 7260].map(shortAge)).toEqual(["1m", "2h"]);
});

test("tables of any content have aligned columns", () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: "grapheme-ascii", maxLength: 20 }), { minLength: 1, maxLength: 5 }),
      fc.nat(60),
      (cells, width) => {
        const lines = tableLines(
          [
            { title: "A", cells, minimum: 3 },
            { title: "B", cells: cells.map(() => "x") },
          ],
          width,
        );
        const at = lines.map((line) => line.length);
        expect(new Set(at).size).toBe(1);
      },
    ),
  );
});
