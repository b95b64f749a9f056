/** Where text for people goes. */
export interface Screen {
  /** Columns of the terminal; undefined when it is none, then nothing is cut or wrapped. */
  readonly width: number | undefined;
  readonly colour: boolean;
}

/** A text in a colour, if there are colours. @param code stands between `ESC [` and `m`; "" for none */
export function painted(text: string, code: string, colour: boolean): string {
  return colour && code !== "" ? `\u001b[${code}m${text}\u001b[0m` : text;
}

/** A duration with at most two units: `45s`, `2m10s`, `3h5m`, `12d`. Negative ones, by clocks that differ, are 0s. */
export function shortDuration(seconds: number): string {
  const total = Math.max(0, Math.floor(seconds));
  const pair = (value: number, unit: string, rest: number, restUnit: string): string =>
    rest === 0 ? `${value}${unit}` : `${value}${unit}${rest}${restUnit}`;
  if (total < 60) return `${total}s`;
  if (total < 3_600) return pair(Math.floor(total / 60), "m", total % 60, "s");
  if (total < 86_400) return pair(Math.floor(total / 3_600), "h", Math.floor((total % 3_600) / 60), "m");
  return `${Math.floor(total / 86_400)}d`;
}

/** Age with one unit, as kubectl shows it. */
export function shortAge(seconds: number): string {
  return shortDuration(seconds).replace(/^(\d+[smhd]).*$/, "$1");
}

/** A time as RFC 3339 in UTC, to the second; one that no date can hold as it is. @param seconds since the Unix epoch */
export function isoTime(seconds: number): string {
  const date = new Date(seconds * 1_000);
  return Number.isNaN(date.getTime()) ? `${seconds} s` : date.toISOString().replace(/\.\d{3}Z$/, "Z");
}

/** Characters of a text. */
export const length = (text: string): number => [...text].length;

/** Cuts the end: `csi-3f5a4531…`. */
export function cutEnd(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(1, width - 1)).join("")}…`;
}

/** Cuts the middle, as names often differ at the end: `data-rab…server-0`. */
export function cutMiddle(text: string, width: number): string {
  const characters = [...text];
  if (characters.length <= width) return text;
  const tail = Math.floor((width - 1) / 2);
  const head = Math.max(1, width - 1 - tail);
  return `${characters.slice(0, head).join("")}…${characters.slice(characters.length - tail).join("")}`;
}

/** Cuts `namespace/name`: the namespace to a quarter of the width first, then the middle of the name. */
export function cutClaim(text: string, width: number): string {
  const slash = text.indexOf("/");
  if (slash < 0) return cutEnd(text, width);
  const [namespace, name] = [text.slice(0, slash), text.slice(slash + 1)];
  const room = Math.min(length(namespace), Math.max(2, Math.floor(width / 4)));
  const shown = cutMiddle(name, Math.max(2, width - 1 - room));
  return `${cutEnd(namespace, Math.max(room, width - 1 - length(shown)))}/${shown}`;
}

/** A column of a table, and how it gives way on a narrow terminal. */
export interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  /** Shorter cells, used if the table is too wide after the first round. */
  readonly short?: readonly string[];
  /** Width down to which the column is cut in each round; undefined or left out: it keeps its width. */
  readonly floors?: readonly (number | undefined)[];
  /** Default: cutEnd. */
  readonly cut?: (text: string, width: number) => string;
}

/**
 * Lines of a table, columns two blanks apart, no blanks at line ends. A table that is wider than the terminal is cut in rounds,
 * each only as far as needed; after the last one a table may still be wider.
 * @param width columns of the terminal; undefined means unlimited
 * @param paint colours one cell; it is given the row (-1: titles), the column and the padded text
 */
export function tableLines(
  columns: readonly Column[],
  width: number | undefined,
  paint: (row: number, title: string, text: string) => string = (_row, _title, text) => text,
): string[] {
  const { widths, short } = fittedWidths(columns, width);
  const rows = Math.max(0, ...columns.map(({ cells }) => cells.length));
  const line = (row: number): string => {
    const parts = columns.map((column, index) => {
      const { title, cells, cut = cutEnd } = column;
      const size = widths[index] ?? 0;
      const cell = (short ? (column.short ?? cells) : cells)[row] ?? "";
      const text = row < 0 ? cutEnd(title, size) : cut(cell, size);
      const last = index === columns.length - 1;
      return paint(row, title, text) + (last ? "" : " ".repeat(size - length(text)));
    });
    return parts.join("  ").trimEnd();
  };
  return Array.from({ length: rows + 1 }, (_, index) => line(index - 1));
}

/** The width of each column, and whether short cells are needed. */
function fittedWidths(columns: readonly Column[], width: number | undefined) {
  const needed = (title: string, cells: readonly string[]): number =>
    Math.max(length(title), ...cells.map(length));
  const widths = columns.map(({ title, cells }) => needed(title, cells));
  const excess = (): number =>
    width === undefined ? 0 : widths.reduce((sum, each) => sum + each + 2, -2) - width;
  const rounds = Math.max(0, ...columns.map(({ floors }) => floors?.length ?? 0));
  let short = false;
  for (let round = 0; round < rounds && excess() > 0; round += 1) {
    if (round === 1) {
      short = true;
      for (const [index, { title, short: cells }] of columns.entries())
        if (cells !== undefined) widths[index] = needed(title, cells);
    }
    while (excess() > 0) {
      // The widest column that may still shrink gives one character.
      let widest = -1;
      for (const [index, { floors }] of columns.entries()) {
        const size = widths[index] ?? 0;
        if (size > (floors?.[round] ?? size) && size > (widths[widest] ?? 0)) widest = index;
      }
      if (widest < 0) break;
      widths[widest] = (widths[widest] ?? 0) - 1;
    }
  }
  return { widths, short };
}
