import fc from "fast-check";
import { readReply } from "../envelope.ts";
import { ros } from "../script.ts";
import type { Listing, ReplyForm } from "./form.ts";
import { flag, integer, type Row, text } from "./row.ts";

/** A disk item as these tests know it; rendered in three ways and read back. */
export interface Item {
  slot: string;
  comment: string;
  filePath: string;
  size: bigint;
  exported: boolean;
  nqn: string;
  port: number;
  mounted: boolean;
}

export const NONCE = "0123456789abcdef";

export const LISTING: Listing = {
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

export const word = (alphabet: string, max: number) =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength: 1, maxLength: max });

export const RECORD = "abcdefghijklmnopqrstuvwxyzABCDEF0123456789._:/@-%,|;";

export const item: fc.Arbitrary<Item> = fc.record({
  slot: word("0123456789abcdef", 28).map((hex) => `csi-${hex}`),
  comment: word(RECORD, 500).map((body) => `rds1;n=${body}`),
  filePath: word("abcdef0123456789-", 30).map((name) => `storage-pool/csi/${name}.img`),
  size: fc.bigInt(1n, 2n ** 62n),
  exported: fc.boolean(),
  nqn: word("abcdef0123456789.-", 60).map((name) => `nqn.2000-02.com.mikrotik:${name}`),
  port: fc.integer({ min: 1, max: 65_535 }),
  mounted: fc.boolean(),
});

export interface Style {
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

export const style: fc.Arbitrary<Style> = fc.record({
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

export function shuffled<T>(entries: readonly T[], { shuffle }: Style): T[] {
  return entries
    .map((entry, index) => ({ entry, key: shuffle[index % shuffle.length] ?? 0 }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ entry }) => entry);
}

/** Breaks a line; the further ones begin at column `indent`. */
export function fold(
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

export function finish(lines: string[], { crlf }: Style): string {
  return lines.join(crlf ? "\r\n" : "\n") + (crlf ? "\r\n" : "\n");
}

export function asJson(items: readonly Item[], s: Style): string {
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

export function asLines(items: readonly Item[], s: Style): string {
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

export function grouped(size: bigint): string {
  return String(size).replace(/\B(?=(\d{3})+$)/g, " ");
}

export const LEGEND =
  "Flags: X - DISABLED; B - BLOCK-DEVICE; M - MOUNTED; t - NVME-TCP-EXPORT; O - TCG-OPAL-SELF-ENCRYPTION-SUPPORTED (inactive); o - TCG-OPAL-SELF-ENCRYPTION-ENABLED (active)";

/** The rows of a print as lines; each begins with its number in the whole list. */
export function detailLines(items: readonly Item[], s: Style): string[] {
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

export function detailReply(count: number, lines: readonly string[], s: Style): string {
  const marks = [`~p:${NONCE}:disks-count~${count}~e:${NONCE}~`, `~p:${NONCE}:disks~`];
  return finish([...marks, ...lines, `~e:${NONCE}~`], s);
}

export function asDetail(items: readonly Item[], s: Style): string {
  return detailReply(items.length, detailLines(items, s), s);
}

export function read(form: ReplyForm, output: string): readonly Row[] | undefined {
  return form.parse(readReply(NONCE, `${output}~ok:${NONCE}~\r\n`, ""), LISTING);
}

export function normal(row: Row): Item {
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
