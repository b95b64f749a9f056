import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readReply } from "../envelope.ts";
import { ros } from "../script.ts";
import { detailForm, parseDetail } from "./detail-form.ts";
import type { Listing, ReplyForm } from "./form.ts";
import { jsonForm } from "./json-form.ts";
import { linesForm } from "./lines-form.ts";
import { flag, integer, type Row, text } from "./row.ts";

/** A disk item as these tests know it; rendered in three ways and read back. */
interface Item {
  slot: string;
  comment: string;
  filePath: string;
  size: bigint;
  exported: boolean;
  nqn: string;
  port: number;
  mounted: boolean;
}

const NONCE = "0123456789abcdef";
const LISTING: Listing = {
  label: "disks",
  menu: ros`/disk`,
  where: undefined,
  properties: [
    "slot",
    "comment",
    "file-path",
    "size",
    "nvme-tcp-export",
    "nvme-tcp-server-nqn",
    "nvme-tcp-server-port",
    "mounted",
    "mount-filesystem",
  ],
};

const word = (alphabet: string, max: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: max });
const RECORD = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789._:/@-%,|;";

const item: fc.Arbitrary<Item> = fc.record({
  slot: word("0123456789abcdef", 28).map((hex) => `csi-${hex}`),
  comment: word(RECORD, 500).map((body) => `rds1;n=${body}`),
  filePath: word("abcdef0123456789-", 30).map((name) => `storage-pool/csi/${name}.img`),
  size: fc.bigInt(1n, 2n ** 62n),
  exported: fc.boolean(),
  nqn: word("abcdef0123456789.-", 60).map((name) => `nqn.2000-02.com.mikrotik:${name}`),
  port: fc.integer({ min: 1, max: 65_535 }),
  mounted: fc.boolean(),
});

interface Style {
  crlf: boolean;
  width: number | undefined;
  /** Lines are cut anywhere, or at a blank where there is one. */
  atBlanks: boolean;
  /** Blanks between the flags and the first key. */
  gap: number;
  /** The number of the first row, and the steps to the next ones: rows keep their place in the whole list. */
  first: number;
  steps: readonly number[];
  slash: boolean;
  /** Falsy flags are absent or written out. */
  falseFlags: boolean;
  strings: boolean;
  /** A comment stands before its record, or behind the flags. */
  commentAhead: boolean;
  shuffle: readonly number[];
}

const style: fc.Arbitrary<Style> = fc.record({
  crlf: fc.boolean(),
  width: fc.option(fc.integer({ min: 40, max: 240 }), { nil: undefined }),
  atBlanks: fc.boolean(),
  gap: fc.integer({ min: 1, max: 10 }),
  first: fc.nat(1_200),
  steps: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 4, maxLength: 4 }),
  slash: fc.boolean(),
  falseFlags: fc.boolean(),
  strings: fc.boolean(),
  commentAhead: fc.boolean(),
  shuffle: fc.array(fc.nat(1_000), { minLength: 12, maxLength: 12 }),
});

function shuffled<T>(entries: readonly T[], { shuffle }: Style): T[] {
  return entries
    .map((entry, index) => ({ entry, key: shuffle[index % shuffle.length] ?? 0 }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ entry }) => entry);
}

/** Breaks a line; the further ones begin at column `indent`. */
function fold(
  line: string,
  { width, atBlanks }: Pick<Style, "width" | "atBlanks">,
  indent: number,
): string[] {
  if (width === undefined || line.length <= width) return [line];
  const blank = line.lastIndexOf(" ", width);
  const cut = atBlanks && blank > indent + 4 ? blank : width;
  const rest = line.slice(line[cut] === " " && atBlanks ? cut + 1 : cut);
  return [line.slice(0, cut), ...fold(" ".repeat(indent) + rest, { width, atBlanks }, indent)];
}

function finish(lines: string[], { crlf }: Style): string {
  return lines.join(crlf ? "\r\n" : "\n") + (crlf ? "\r\n" : "\n");
}

function asJson(items: readonly Item[], s: Style): string {
  const rows = items.map((each) => {
    const flags: [string, unknown][] = (
      [
        ["nvme-tcp-export", each.exported],
        ["mounted", each.mounted],
        ["mount-filesystem", false],
      ] as [string, boolean][]
    )
      .filter(([, value]) => value || s.falseFlags)
      .map(([key, value]) => [key, s.strings ? String(value) : value]);
    const cells: [string, unknown][] = [
      [".id", "*1F"],
      ["slot", each.slot],
      ["comment", each.comment],
      ["file-path", (s.slash ? "/" : "") + each.filePath],
      ["size", s.strings ? String(each.size) : `<${each.size}>`],
      ["nvme-tcp-server-nqn", each.nqn],
      ["nvme-tcp-server-port", each.port],
      ...flags,
    ];
    return Object.fromEntries(shuffled(cells, s));
  });
  const json = JSON.stringify(rows).replaceAll('"<', "").replaceAll('>"', "");
  return finish(fold(`~p:${NONCE}:disks~${json}~e:${NONCE}~`, { ...s, atBlanks: false }, 0), s);
}

function asLines(items: readonly Item[], s: Style): string {
  const out = [`~p:${NONCE}:disks~`];
  for (const each of items) {
    out.push(`~row:${NONCE}~`);
    const cells: [string, string][] = [
      ["slot", each.slot],
      ["comment", each.comment],
      ["file-path", (s.slash ? "/" : "") + each.filePath],
      ["size", String(each.size)],
      ["nvme-tcp-export", String(each.exported)],
      ["nvme-tcp-server-nqn", each.nqn],
      ["nvme-tcp-server-port", String(each.port)],
      ["mounted", String(each.mounted)],
      ["mount-filesystem", "false"],
    ];
    for (const [key, value] of shuffled(cells, s)) {
      out.push(...fold(`~f:${NONCE}:${key}~${value}~g:${NONCE}~`, { ...s, atBlanks: false }, 0));
    }
  }
  out.push(`~rows:${NONCE}~`, `~e:${NONCE}~`);
  return finish(out, s);
}

function grouped(size: bigint): string {
  return String(size).replace(/\B(?=(\d{3})+$)/g, " ");
}

const LEGEND =
  "Flags: X - DISABLED; B - BLOCK-DEVICE; M - MOUNTED; t - NVME-TCP-EXPORT; O - TCG-OPAL-SELF-ENCRYPTION-SUPPORTED (inactive); o - TCG-OPAL-SELF-ENCRYPTION-ENABLED (active)";

/** The rows of a print as lines; each begins with its number in the whole list. */
function detailLines(items: readonly Item[], s: Style): string[] {
  const out = fold(LEGEND, { ...s, atBlanks: true }, 0);
  let number = s.first;
  items.forEach((each, index) => {
    const flags = `${each.size % 2n === 0n ? "B" : " "}${each.mounted ? "M" : " "}${each.exported ? "t" : " "}`;
    const start = `${String(number).padStart(2)} ${flags}${" ".repeat(s.gap)}`;
    number += s.steps[index] ?? 1;
    const cells = shuffled(
      [
        `slot="${each.slot}"`,
        'parent=""',
        "fs=-",
        'model="RAID0 striped"',
        `size=${grouped(each.size)}`,
        "mount-filesystem=no",
        `nvme-tcp-export=${each.exported ? "yes" : "no"}`,
        `nvme-tcp-server-port=${each.port}`,
        `nvme-tcp-server-nqn="${each.nqn}"`,
        `file-path=${s.slash ? "/" : ""}${each.filePath}`,
        "file-size=50.0GiB",
        "file-offset=0",
      ],
      s,
    );
    const body = ["type=file", ...cells].join(" ");
    if (s.commentAhead) {
      out.push(...fold(`;;; ${each.comment}`, s, start.length), ...fold(start + body, s, start.length));
    } else {
      out.push(...fold(`${start};;; ${each.comment}`, s, start.length));
      out.push(...fold(" ".repeat(start.length) + body, s, start.length));
    }
    out.push(" ");
  });
  return out;
}

function detailReply(count: number, lines: readonly string[], s: Style): string {
  const marks = [`~p:${NONCE}:disks-count~${count}~e:${NONCE}~`, `~p:${NONCE}:disks~`];
  return finish([...marks, ...lines, `~e:${NONCE}~`], s);
}

function asDetail(items: readonly Item[], s: Style): string {
  return detailReply(items.length, detailLines(items, s), s);
}

function read(form: ReplyForm, output: string): readonly Row[] | undefined {
  return form.parse(readReply(NONCE, `${output}~ok:${NONCE}~\r\n`, ""), LISTING);
}

function normal(row: Row): Item {
  return {
    slot: text(row, "slot"),
    comment: text(row, "comment"),
    filePath: text(row, "file-path").replace(/^\//, ""),
    size: integer(row, "size") ?? -1n,
    exported: flag(row, "nvme-tcp-export"),
    nqn: text(row, "nvme-tcp-server-nqn"),
    port: Number(integer(row, "nvme-tcp-server-port")),
    mounted: flag(row, "mounted"),
  };
}

describe("the three reply forms", () => {
  test("give the same rows under wrapping, CRLF, flags and field order", () => {
    fc.assert(
      fc.property(fc.array(item, { maxLength: 4 }), style, (items, s) => {
        for (const [form, output] of [
          [jsonForm, asJson(items, s)],
          [linesForm, asLines(items, s)],
          [detailForm, asDetail(items, s)],
        ] as const) {
          expect({ form: form.name, rows: read(form, output)?.map(normal) }).toEqual({
            form: form.name,
            rows: items,
          });
        }
      }),
      { numRuns: 400 },
    );
  });

  test("never take a cut-off reply for fewer rows", () => {
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 3 }),
        style,
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (items, s, part) => {
          for (const [form, output] of [
            [jsonForm, asJson(items, s)],
            [linesForm, asLines(items, s)],
            [detailForm, asDetail(items, s)],
          ] as const) {
            const end = output.trimEnd().length - 1;
            const cut = output.slice(0, Math.floor(end * part));
            expect(form.parse(readReply(NONCE, cut, ""), LISTING)).toBeUndefined();
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  test("detail text without one of its lines never merges, replaces or drops a row", () => {
    fc.assert(
      fc.property(
        fc.array(item, { minLength: 1, maxLength: 4 }),
        style,
        fc.nat(10_000),
        (items, s, which) => {
          const lines = detailLines(items, s);
          const left = lines.toSpliced(which % lines.length, 1);
          const rows = read(detailForm, detailReply(items.length, left, s));
          if (rows === undefined) return;
          const slots = rows.map((row) => text(row, "slot"));
          expect(slots.length).toBe(items.length);
          slots.forEach((slot, at) => {
            // What stood on the lost line is lost; nothing of another row stands in its place.
            const own = items[at]?.slot ?? "";
            const isPart = slot === "" || own === slot || s.width !== undefined;
            expect({ slot, own, isPart }).toEqual({ slot, own, isPart: true });
            expect(items.some((other) => other.slot === slot && other.slot !== own)).toBe(false);
          });
        },
      ),
      { numRuns: 400 },
    );
  });

  test("detail text whose rows are not as many as the device counts is unreadable", () => {
    const s = { ...fc.sample(style, { numRuns: 1, seed: 1 })[0], width: undefined, crlf: true } as Style;
    const items = fc.sample(item, { numRuns: 2, seed: 2 });
    expect(read(detailForm, asDetail(items, s))).toHaveLength(2);
    for (const count of [0, 1, 3]) {
      expect(read(detailForm, detailReply(count, detailLines(items, s), s))).toBeUndefined();
    }
    expect(read(detailForm, detailReply(0, ["no such item"], s))).toBeUndefined();
  });

  test("a comment that looks like properties after a wrap never changes another property", () => {
    const lines = (comment: string) => [
      "Flags: B - BLOCK-DEVICE",
      `31 B  ;;; ${comment}`,
      '      slot="pvc-2" nvme-tcp-export=yes',
      '      type=file slot="pvc-1" nvme-tcp-export=no',
    ];
    expect(parseDetail(lines("kept for").join("\n"))).toBeUndefined();
  });

  test("two rows of a print with where, as a RDS numbers them (7.24.4: 31 and 33), are two rows", () => {
    const capture = [
      "Flags: B - BLOCK-DEVICE; t - NVME-TCP-EXPORT",
      '31 Bt  type=file slot="vm-storage-001" slot-default="" parent="" fs=- model="/raid10/vm-storage-001.img" size=1 099 511 627 776 nvme-tcp-export=yes file-path=/raid10/vm-storage-001.img file-size=1024.0GiB file-offset=0',
      " ",
      '33 B   type=file slot="vm-storage-003" slot-default="" parent="" fs=- model="/raid10/vm-storage-003.img" size=1 099 511 627 776 nvme-tcp-export=no file-path=/raid10/vm-storage-003.img file-size=1024.0GiB file-offset=0',
    ];
    const rows = parseDetail(capture.join("\r\n"));
    expect(rows?.map((row) => [text(row, "slot"), flag(row, "nvme-tcp-export")])).toEqual([
      ["vm-storage-001", true],
      ["vm-storage-003", false],
    ]);
  });

  test("a property that this program does not know, at the start of a wrapped line, leaves its neighbours alone", () => {
    const rows = parseDetail(
      ' 0 B  type=file slot="pvc-1" nvme-tcp-export=yes\n      new-thing=7 size=1 099\n      511 627 776 other-new=x nvme-\n      tcp-server-port=4420',
    );
    expect(rows?.map((row) => Object.fromEntries(row))).toEqual([
      {
        type: "file",
        slot: "pvc-1",
        "nvme-tcp-export": "yes",
        "new-thing": "7",
        size: "1 099511 627 776",
        "other-new": "x",
        "nvme-tcp-server-port": "4420",
        "block-device": "true",
      },
    ]);
  });

  test("read the detail text of a real RDS (7.24.4, RAID pool and file disk)", () => {
    const capture = [
      `~p:${NONCE}:disks-count~2~e:${NONCE}~`,
      `~p:${NONCE}:disks~`,
      "Flags: B - BLOCK-DEVICE; M - MOUNTED; t - NVME-TCP-EXPORT",
      ' 0 BM  type=raid slot="raid10" slot-default="" parent="" fs-label="data" fs-uuid="40437dbc" fs=xfs model="RAID0 striped" size=16 003 143 565 312 free=14 789 895 307 264 total-inodes=1 562 806 656',
      '       free-inodes=1 562 806 652 use=8% mount-point="raid10" mount-filesystem=yes mount-read-only=no state="clean" nvme-tcp-export=no swap=no',
      " ",
      ' 1 Bt  type=file slot="vm-1" slot-default="" parent="" fs=- model="/raid10/vm-1.img" size=1 099 511 627 776 mount-filesystem=no sector-size=512 nvme-tcp-export=yes nvme-tcp-server-port=4420 nvme-tcp-server-nqn="nqn.2026-09.com.mikrotik:rds2216.vm-1" nvme-tcp-server-allow-host-name="" file-path=/raid10/vm-1.img file-size=1024.0GiB file-offset=0',
      "",
      `~e:${NONCE}~`,
      "",
    ].join("\r\n");
    const rows = read(detailForm, capture);
    expect(rows?.length).toBe(2);
    const [pool, disk] = rows ?? [];
    if (pool === undefined || disk === undefined) throw new Error("rows are missing");
    expect([
      text(pool, "slot"),
      integer(pool, "free"),
      flag(pool, "mounted"),
      text(pool, "mount-point"),
    ]).toEqual(["raid10", 14_789_895_307_264n, true, "raid10"]);
    expect([
      text(disk, "file-path"),
      integer(disk, "size"),
      integer(disk, "file-size"),
      flag(disk, "mounted"),
    ]).toEqual(["/raid10/vm-1.img", 1_099_511_627_776n, undefined, false]);
  });
});

describe("JSON rows", () => {
  const parse = (json: string) =>
    jsonForm.parse(readReply(NONCE, `~p:${NONCE}:disks~${json}~e:${NONCE}~`, ""), LISTING);

  test("keep every digit beyond 2^53, and digits inside strings", () => {
    const rows = parse(
      '[{"size":9007199254740993,"slot":"a1.50","free":456.000000,"comment":"12 \\"34\\" 5e6"}]',
    );
    expect([...(rows?.[0] ?? [])]).toEqual([
      ["size", "9007199254740993"],
      ["slot", "a1.50"],
      ["free", "456.000000"],
      ["comment", '12 "34" 5e6'],
    ]);
    expect(integer(rows?.[0] ?? new Map(), "free")).toBe(456n);
  });

  test("one object is one row, nil is absent, no row is no row", () => {
    expect(parse('{"slot":"x","fs":null}')).toEqual([new Map([["slot", "x"]])]);
    expect(parse("[]")).toEqual([]);
  });

  test("anything else is unreadable, not empty", () => {
    for (const json of ["", '""', "null", '["a"]', "[[]]", '[{"slot":"x"]', "no such item"]) {
      expect({ json, rows: parse(json) }).toEqual({ json, rows: undefined });
    }
  });
});
