/** One figure. */
export interface Row {
  /** Stable; tells figures of two runs apart. */
  readonly name: string;
  readonly value: number;
  readonly unit: "ms" | "s" | "MB" | "processes" | "calls" | "bytes" | "%";
  /** The figure of the same run that it is compared with. */
  readonly beside?: { readonly name: string; readonly value: number };
  /** Largest value, or largest multiple of `beside`. */
  readonly goal?: Goal;
  /** A restriction of this run, e.g. that it is too short for the goal. */
  readonly note?: string;
}

export type Goal = { readonly most: number } | { readonly factor: number };

/** A run of some groups. */
export interface Results {
  readonly machine: string;
  readonly version: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  readonly quick: boolean;
  readonly rows: readonly Row[];
}

export const ratioOf = ({ value, beside }: Row): number | undefined =>
  beside === undefined || beside.value === 0 ? undefined : value / beside.value;

/** Whether the goal holds; undefined without one, or without the figure that it is a multiple of. */
export function holds(row: Row): boolean | undefined {
  const { goal, value } = row;
  if (goal === undefined) return undefined;
  if ("most" in goal) return value <= goal.most;
  const ratio = ratioOf(row);
  return ratio === undefined ? undefined : ratio <= goal.factor;
}

function figure(value: number, unit: Row["unit"]): string {
  const digits = value >= 100 || unit === "processes" || unit === "calls" ? 0 : value >= 10 ? 1 : 2;
  return unit === "bytes" ? String(value) : value.toFixed(digits);
}

function goalText(goal: Goal | undefined, unit: Row["unit"]): string {
  if (goal === undefined) return "";
  return "most" in goal ? `${goal.most} ${unit}` : `${goal.factor} ×`;
}

/** The rows as a Markdown table. */
export function table(rows: readonly Row[]): string {
  const lines = [
    "| figure | value | beside it | ratio | goal: at most | holds |",
    "|---|---|---|---|---|---|",
  ];
  for (const row of rows) {
    const { name, value, unit, beside, goal, note } = row;
    const ratio = ratioOf(row);
    const held = holds(row);
    const cells = [
      note === undefined ? name : `${name} (${note})`,
      `${figure(value, unit)} ${unit}`,
      beside === undefined ? "" : `${beside.name}: ${figure(beside.value, unit)}`,
      ratio === undefined ? "" : `${ratio.toFixed(2)} ×`,
      goalText(goal, unit),
      held === undefined ? "" : held ? "yes" : "**no**",
    ];
    lines.push(`| ${cells.join(" | ")} |`);
  }
  return lines.join("\n");
}

/**
 * Names the goals that do not hold, and counts both kinds. A goal that is a multiple of a figure that is missing does not hold.
 * @returns lines for the end of the output
 */
export function verdict(rows: readonly Row[]): {
  readonly missed: number;
  readonly lines: readonly string[];
} {
  const goals = rows.filter(({ goal }) => goal !== undefined);
  const missed = goals.filter((row) => holds(row) !== true);
  const names = missed.map(
    ({ name, value, unit, goal }) =>
      `- ${name}: ${figure(value, unit)} ${unit}, goal: at most ${goalText(goal, unit)}`,
  );
  const count = `${goals.length - missed.length} goals hold, ${missed.length} do not.`;
  const lines = names.length === 0 ? [count] : ["These goals do not hold:", ...names, count];
  return { missed: missed.length, lines };
}

/** The tables of docs/performance.md: a group that has one of its own, or `figures` for all others. */
export const SECTIONS = ["figures", "lab", "modules", "profile"] as const;
export type Section = (typeof SECTIONS)[number];

/** The page with the table of a run in the place of the former one. @throws Error if the page has no place for it */
export function withTable(
  page: string,
  section: Section,
  { machine, version, date, rows, quick }: Results,
): string {
  const begin = `<!-- scripts/bench --docs writes from here: ${section} -->`;
  const from = page.indexOf(begin);
  const to = page.indexOf("<!-- to here -->", from);
  if (from < 0 || to < 0) throw new Error(`the page has no line "${begin}" with an end`);
  const form = quick ? "short form" : "full form";
  const text = `Measured on ${date}, ${form}: ${version}, on ${machine}.\n\n${table(rows)}`;
  return `${page.slice(0, from)}${begin}\n${text}\n${page.slice(to)}`;
}
