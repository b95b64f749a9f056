import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readReply } from "../envelope.ts";
import { detailForm, parseDetail } from "./detail-form.ts";
import {
  asDetail,
  asJson,
  asLines,
  detailLines,
  detailReply,
  item,
  LISTING,
  NONCE,
  normal,
  read,
  type Style,
  style,
} from "./forms.fixture.ts";
import { jsonForm } from "./json-form.ts";
import { linesForm } from "./lines-form.ts";
import { flag, integer, text } from "./row.ts";

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

  test("a line of the console behind the rows of a print is no part of the last one", () => {
    const rows = ['31 B  type=file slot="pvc-1"', "      nvme-tcp-export=yes", ""];
    expect(parseDetail(rows.join("\r\n"))).toHaveLength(1);
    for (const line of ["12:00:01 echo: disk,info x", "[csi@rds] > ", "      no"])
      expect({ line, rows: parseDetail([...rows, line].join("\r\n")) }).toEqual({ line, rows: undefined });
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
