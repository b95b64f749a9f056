import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { hostIdentity } from "../../domain/host-identity.ts";
import { isPrintable } from "../../domain/printable.ts";
import { DEFAULT_SETTINGS } from "../../domain/record/volume-record.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { known, notAsked } from "../../inspect/fact.ts";
import { sentenceOf } from "../../inspect/finding.ts";
import { noClusterLists } from "../../inspect/world.ts";
import type { Disk } from "../../rds/disk.ts";
import { classify, type ForeignDisk, type RdsVolume } from "../../rds/volume.ts";
import { NOW } from "./listed.fixture.ts";
import { listedVolumes, problemsOf } from "./listed.ts";
import type { ListedVolume } from "./model.ts";
import { renderVolumes } from "./render.ts";
import { changeLine, changesBetween, frameLines } from "./watch-view.ts";

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
    fsLabel: "",
    state: "",
    raidMaster: "",
    memberFailed: false,
    mountFilesystem: false,
    exported: true,
    nqn: `nqn:${id}.1`,
    port: 4420,
    allowHost: "",
  };
  const attachment = {
    node: "n1",
    hostNqn: hostIdentity("default", "n1").hostNqn,
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
  type Found = { readonly volumes: readonly RdsVolume[]; readonly foreign: readonly ForeignDisk[] };
  const listedOf = (found: Found): ListedVolume[] =>
    listedVolumes({
      now: NOW,
      installation: { clusterId: "default", nqnPrefix: "nqn", nvmePort: 4420, fencing: "epoch" },
      survey: known(found),
      cluster: noClusterLists(notAsked("--orchestrator is none")),
    });
  const one = (volumes: RdsVolume[]) => {
    const [listed] = listedOf({ volumes, foreign: [] });
    return listed && { ...listed, problems: problemsOf(listed).map(sentenceOf) };
  };

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
        const volumes = listedOf(found);
        expect(volumes.map(({ handle }) => handle).sort()).toEqual([good.slot, id].sort());
        const look = { volumes, readAt: NOW, now: NOW, troubles: [] };
        const shown = [
          ...(["table", "wide", "json", "yaml"] as const).map((format) =>
            renderVolumes(volumes, { format, now: NOW, width: undefined, colour: false }),
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
    const second = { ...attachment, node: "n2", hostNqn: hostIdentity("default", "n2").hostNqn };
    const both = [attachment, second];
    const migration = { since: NOW / 1000 - 10, timeoutSeconds: 300, by: "p", overdueBy: undefined };
    expect(one([ours({ attachments: both, migration })])).toMatchObject({ state: "migrating", problems: [] });
    const late = one([
      ours({
        attachments: both,
        migration: { since: NOW / 1000 - 301, timeoutSeconds: 300, by: "p", overdueBy: undefined },
      }),
    ]);
    expect(late).toMatchObject({ state: "broken", migration: { overdue: true } });
    expect(late?.problems).toEqual(["Its migration has taken 301 s, 300 s are allowed"]);
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
    const listed = listedOf(found);
    expect(listed.map(({ handle }) => handle)).toEqual([id, other].sort());
    const theirs = listed.find(({ handle }) => handle === other);
    expect(theirs?.state).toBe("foreign");
    expect(theirs?.findings.map(sentenceOf)).toEqual(["The disk item is not ours: it belongs to cluster b"]);
  });
});
