import { jsonText, yamlText } from "../machine-text.ts";
import { volumeTable } from "./list-table.ts";
import type { ListedVolume } from "./model.ts";
import { countsText, problemLines, problemsOf } from "./problems.ts";
import {
  ALL,
  nothingSelected,
  type Selection,
  type SortKey,
  selectionText,
  selects,
  sorted,
} from "./select.ts";
import { wrap } from "./show-text.ts";

export const OUTPUT_FORMATS = ["table", "wide", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface RenderOptions {
  readonly format: OutputFormat;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Columns of the terminal; undefined when it is none, then nothing is cut. */
  readonly width: number | undefined;
  readonly colour: boolean;
  /** Default: all. */
  readonly selection?: Selection;
  /** Default: problems first; JSON and YAML by handle. */
  readonly sort?: SortKey | undefined;
}

/**
 * The list as text that ends with a newline.
 * @param all every volume on the RDS, selected or not
 */
export function renderVolumes(all: readonly ListedVolume[], options: RenderOptions): string {
  const { format, selection = ALL, sort } = options;
  const machine = format === "json" || format === "yaml";
  const volumes = sorted(all.filter(selects(selection)), sort ?? (machine ? "handle" : "problems"));
  switch (format) {
    case "json":
      return `${jsonText(document(volumes, all.length), 2)}\n`;
    case "yaml":
      return yamlText(document(volumes, all.length));
    default:
      return `${listLines(all, volumes, options).join("\n")}\n`;
  }
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
function document(volumes: readonly ListedVolume[], total: number): object {
  return { apiVersion: "rds-csi/v1", kind: "VolumeList", total, items: volumes.map(volumeDocument) };
}

/** One item of the machine-readable list. */
export function volumeDocument(volume: ListedVolume): object {
  return {
    handle: volume.handle,
    csiName: volume.csiName,
    state: volume.state,
    sizeBytes: Number(volume.sizeBytes),
    pvc: volume.pvc ?? null,
    nodes: volume.nodes,
    migration: volume.migration ?? null,
    createdAt: volume.createdAt ?? null,
    nqn: volume.nqn,
    exported: volume.exported,
    path: volume.path,
    problems: volume.findings.map(({ text }) => text),
    findings: volume.findings.map(({ id, severity, text, node, remedy }) => ({
      ...{ id, severity, text, node: node ?? null, remedy },
    })),
  };
}

/** For people. The counts and the problems come last: they are on the screen when a long list has scrolled away. */
function listLines(
  all: readonly ListedVolume[],
  volumes: readonly ListedVolume[],
  options: RenderOptions,
): string[] {
  const { format, now, width, colour, selection = ALL } = options;
  const wide = format === "wide";
  const room = wide ? undefined : width;
  const flow = (line: string): string[] => (room === undefined ? [line] : wrap(line, room));
  if (all.length === 0) return ["No volumes."];
  if (volumes.length === 0) return nothingSelected(all, selection).flatMap(flow);
  const handles = all.map(({ handle }) => handle);
  const table = volumeTable(volumes, { wide, now, width, colour, handles });
  const problems = problemsOf(volumes).flatMap((problem) => problemLines(problem, { width: room, colour }));
  const counts = countsText(volumes, all.length, selectionText(selection));
  const hint = problems.length === 0 ? "" : "; rds-csi volumes show NAME says what to do";
  const listed = problems.length === 0 ? [] : ["", "Problems:", ...problems];
  return [...table, ...listed, "", ...flow(`${counts}${hint}.`)];
}
