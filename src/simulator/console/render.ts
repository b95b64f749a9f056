import type { Row } from "../language/scope.ts";
import { toText } from "../language/values.ts";
import { formatProperty, type SizeStyle } from "./format.ts";

/** A flag of a menu: the letter of the text forms and the property behind it. */
export interface FlagSpec {
  readonly letter: string;
  readonly name: string;
  /** Whether the property is printed as well, such as nvme-tcp-export. */
  readonly property?: boolean;
}

/** A row with its place in the whole list of its menu, from 0: what `print` shows, also with `where` (facts section 13). */
export interface NumberedRow {
  readonly number: number;
  readonly row: Row;
}

export interface RenderOptions {
  readonly flags: readonly FlagSpec[];
  /** Properties to print; undefined prints all. */
  readonly proplist: readonly string[] | undefined;
  /** Columns; 0 never wraps. */
  readonly width: number;
  readonly commentStyle: "own-line" | "inline";
  readonly sizes: SizeStyle;
}

function usedFlags(rows: readonly NumberedRow[], options: RenderOptions): readonly FlagSpec[] {
  return options.flags.filter((flag) => rows.some(({ row }) => row.get(flag.name) === true));
}

/** Breaks text at blanks where possible, otherwise in the middle of a value. */
export function wrap(text: string, width: number, indent: number): string[] {
  if (width === 0 || text.length <= width) return [text];
  const lines: string[] = [];
  let rest = text;
  const margin = " ".repeat(Math.min(indent, width - 10));
  while (rest.length > width) {
    const blank = rest.lastIndexOf(" ", width);
    const cut = blank > margin.length + 1 ? blank : width;
    lines.push(rest.slice(0, cut));
    rest = margin + rest.slice(rest.charAt(cut) === " " ? cut + 1 : cut);
  }
  lines.push(rest);
  return lines;
}

function header(flags: readonly FlagSpec[], width: number): string[] {
  if (flags.length === 0) return [];
  const parts = flags.map((flag) => `${flag.letter} - ${flag.name.toUpperCase()}`);
  return wrap(`Flags: ${parts.join("; ")}`, width, 0);
}

function letters(row: Row, flags: readonly FlagSpec[]): string {
  return flags.map((flag) => (row.get(flag.name) === true ? flag.letter : " ")).join("");
}

function properties(row: Row, options: RenderOptions, quote: boolean): string[] {
  const hidden = new Set(options.flags.filter((flag) => flag.property !== true).map((flag) => flag.name));
  return [...row]
    .filter(([name]) => name !== ".id" && name !== "comment" && !hidden.has(name))
    .filter(([name]) => options.proplist?.includes(name) ?? true)
    .map(([name, value]) => `${name}=${formatProperty(name, value, quote, options.sizes)}`);
}

/**
 * `print detail`: records of `key=value`, with a line of one blank between two (facts section 2.5). Further lines of a
 * record begin at the column of its first key (facts section 13).
 */
export function renderDetail(rows: readonly NumberedRow[], options: RenderOptions): string[] {
  if (rows.length === 0) return [""];
  const flags = usedFlags(rows, options);
  const records = rows.map(({ row, number }) => {
    const start = `${String(number).padStart(2)} ${letters(row, flags).padEnd(1)} `;
    const indent = start.length;
    const body = properties(row, options, true).join(" ");
    const comment = row.get("comment");
    const shown = comment !== undefined && (options.proplist?.includes("comment") ?? true);
    if (!shown) return wrap(start + body, options.width, indent);
    const text = `;;; ${toText(comment)}`;
    if (options.commentStyle === "own-line") return [text, ...wrap(start + body, options.width, indent)];
    return [
      ...wrap(start + text, options.width, indent),
      ...wrap(" ".repeat(indent) + body, options.width, indent),
    ];
  });
  return [
    ...header(flags, options.width),
    ...records.flatMap((lines, at) => (at === 0 ? lines : [" ", ...lines])),
    "",
  ];
}

/** `print terse`: one line for each record, values without quotes. */
export function renderTerse(rows: readonly NumberedRow[], options: RenderOptions): string[] {
  const flags = usedFlags(rows, options);
  const lines = rows.flatMap(({ row, number }) => {
    const comment = row.get("comment");
    const first = comment === undefined ? [] : [`comment=${toText(comment)}`];
    const parts = [...first, ...properties(row, options, false)].join(" ");
    return wrap(`${String(number).padStart(2)} ${letters(row, flags)} ${parts}`, options.width, 0);
  });
  return [...lines, ""];
}

/** Columns that stand at their right edge. */
const RIGHT = new Set(["size", "free"]);

/** `print` and `print brief`: a table of the menu's usual columns. */
export function renderTable(
  rows: readonly NumberedRow[],
  columns: readonly string[],
  options: RenderOptions,
): string[] {
  if (rows.length === 0) return [""];
  const flags = usedFlags(rows, options);
  const shown = (options.proplist ?? columns).filter((name) => rows.some(({ row }) => row.has(name)));
  const cells = rows.map(({ row }) =>
    shown.map((name) => formatProperty(name, row.get(name), false, options.sizes)),
  );
  const widths = shown.map((name, at) =>
    Math.max(name.length, ...cells.map((line) => line[at]?.length ?? 0)),
  );
  const aligned = (part: string, at: number) =>
    RIGHT.has(shown[at] ?? "") ? part.padStart(widths[at] ?? 0) : part.padEnd(widths[at] ?? 0);
  const line = (start: string, parts: readonly string[]) =>
    `${start}  ${parts.map(aligned).join("  ")}`.trimEnd();
  const digits = String(rows.at(-1)?.number ?? 0).length;
  const lead = (number: string, marks: string) => `${number.padStart(digits)} ${marks.padEnd(flags.length)}`;
  const table = [
    line(
      lead("#", ""),
      shown.map((name) => name.toUpperCase()),
    ),
    ...rows.flatMap(({ row, number }, at) => {
      const comment = row.get("comment");
      const own = comment === undefined ? [] : [`;;; ${toText(comment)}`];
      return [...own, line(lead(String(number), letters(row, flags)), cells[at] ?? [])];
    }),
  ];
  const columnsLine = `Columns: ${shown.map((name) => name.toUpperCase()).join(", ")}`;
  const cut = (text: string) => (options.width > 0 ? text.slice(0, options.width) : text);
  return [...header(flags, options.width), ...wrap(columnsLine, options.width, 2), ...table.map(cut), ""];
}

/** A menu with a single record: right-aligned `key: value` lines. */
export function renderSingle(row: Row, options: RenderOptions): string[] {
  const shown = [...row].filter(([name]) => options.proplist?.includes(name) ?? true);
  const width = Math.max(0, ...shown.map(([name]) => name.length)) + 2;
  const lines = shown.map(
    ([name, value]) => `${name.padStart(width)}: ${formatProperty(name, value, false, options.sizes)}`,
  );
  return [...lines, ""];
}
