import { printable } from "../../domain/printable.ts";
import { sentenceOf } from "../../inspect/finding.ts";
import { machineText } from "../machine-text.ts";
import { volumeTable } from "./list-table.ts";
import { problemsOf } from "./listed.ts";
import type { ListedVolume, UnknownSide } from "./model.ts";
import { countsText, problemLines, sharedProblems } from "./problems.ts";
import { ALL, type Choice, nothingSelected, selectionText, selects, sorted, unreadHint } from "./select.ts";
import { plain } from "./show-document.ts";
import { wrap } from "./show-text.ts";
import type { Screen } from "./text.ts";

export type OutputFormat = "table" | "wide" | "json" | "yaml";

export interface RenderOptions extends Screen, Choice {
  readonly format: OutputFormat;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Sides that did not answer. */
  readonly unknown?: readonly UnknownSide[];
}

/**
 * The list as text that ends with a newline.
 * @param all every volume on the RDS, selected or not
 */
export function renderVolumes(all: readonly ListedVolume[], options: RenderOptions): string {
  const { format, selection = ALL, sort, unknown = [] } = options;
  const machine = format === "json" || format === "yaml";
  const volumes = sorted(all.filter(selects(selection)), sort ?? (machine ? "handle" : "problems"));
  return machine
    ? machineText(document(volumes, all.length, unknown), format)
    : `${listLines(all, volumes, options).join("\n")}\n`;
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
function document(volumes: readonly ListedVolume[], total: number, unknown: readonly UnknownSide[]): object {
  return {
    apiVersion: "rds-csi/v1",
    kind: "VolumeList",
    total,
    items: volumes.map(volumeDocument),
    unknown: plain(unknown),
  };
}

/** One item of the machine-readable list. */
export function volumeDocument({ findings, recordUnknown: _, ...volume }: ListedVolume): unknown {
  return plain({
    ...volume,
    problems: problemsOf({ findings }).map(sentenceOf),
    findings: findings.map((finding) => {
      const { id, severity, node, remedy } = finding;
      return { id, severity, text: sentenceOf(finding), node, remedy };
    }),
  });
}

/** For people. The counts and the problems come last: they are on the screen when a long list has scrolled away. */
function listLines(
  all: readonly ListedVolume[],
  volumes: readonly ListedVolume[],
  options: RenderOptions,
): string[] {
  const { format, now, width, colour, selection = ALL, unknown = [] } = options;
  const wide = format === "wide";
  const room = wide ? undefined : width;
  const flow = (line: string): string[] => wrap(line, room);
  const missing = unknown.map(({ what, reason, remedy }) =>
    printable(`${what}: ${reason}${remedy === undefined ? "" : `. ${remedy}`}`),
  );
  const notKnown = missing.length > 0 ? ["", "Not known:", ...missing.flatMap(flow)] : [];
  if (all.length === 0) return ["No volumes.", ...notKnown];
  const unread = unreadHint(all, selection);
  if (volumes.length === 0)
    return [...[...nothingSelected(all, selection), ...unread].flatMap(flow), ...notKnown];
  const handles = all.map(({ handle }) => handle);
  const table = volumeTable(volumes, { wide, now, width, colour, handles });
  const problems = sharedProblems(volumes).flatMap((problem) =>
    problemLines(problem, { width: room, colour }),
  );
  const counts = countsText(volumes, all.length, selectionText(selection));
  const hint = problems.length === 0 ? "" : "; rds-csi volumes show NAME says what to do";
  const listed = problems.length === 0 ? [] : ["", "Problems:", ...problems];
  return [...table, ...listed, ...notKnown, "", ...[`${counts}${hint}.`, ...unread].flatMap(flow)];
}
