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

const length = (text: string): number => [...text].length;

function fit(text: string, width: number): string {
  const characters = [...text];
  return characters.length <= width ? text : `${characters.slice(0, Math.max(1, width - 1)).join("")}…`;
}

/** A column: its cells, and whether it may be cut (down to `minimum`) when the terminal is too narrow. */
export interface Column {
  readonly title: string;
  readonly cells: readonly string[];
  readonly minimum?: number;
}

/**
 * Lines of a table, columns two blanks apart, no blanks at line ends.
 * @param width columns of the terminal; undefined means unlimited
 * @param paint colours one cell; it is given the row (-1: titles), the column and the padded text
 */
export function tableLines(
  columns: readonly Column[],
  width: number | undefined,
  paint: (row: number, title: string, text: string) => string = (_row, _title, text) => text,
): string[] {
  const widths = columns.map(({ title, cells }) => Math.max(length(title), ...cells.map(length)));
  let excess = width === undefined ? 0 : widths.reduce((sum, each) => sum + each + 2, -2) - width;
  while (excess > 0) {
    // The widest column that may still shrink gives one character.
    let widest = -1;
    for (const [index, { minimum }] of columns.entries()) {
      const size = widths[index] ?? 0;
      if (minimum !== undefined && size > minimum && size > (widths[widest] ?? 0)) widest = index;
    }
    if (widest < 0) break;
    widths[widest] = (widths[widest] ?? 0) - 1;
    excess -= 1;
  }
  const rows = Math.max(0, ...columns.map(({ cells }) => cells.length));
  const line = (row: number): string => {
    const parts = columns.map(({ title, cells }, index) => {
      const size = widths[index] ?? 0;
      const text = fit(row < 0 ? title : (cells[row] ?? ""), size);
      const last = index === columns.length - 1;
      return paint(row, title, text) + (last ? "" : " ".repeat(size - length(text)));
    });
    return parts.join("  ").trimEnd();
  };
  return Array.from({ length: rows + 1 }, (_, index) => line(index - 1));
}
