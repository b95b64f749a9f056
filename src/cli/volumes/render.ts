import { printable } from "../../domain/printable.ts";
import type { VolumeState } from "../../inspect/compare.ts";
import { sentenceOf } from "../../inspect/finding.ts";
import { jsonText, yamlText } from "../machine-text.ts";
import { problemsOf } from "./listed.ts";
import type { ListedVolume, UnknownSide } from "./model.ts";
import { type Column, shortAge, shortDuration, shortSize, tableLines } from "./text.ts";

export const OUTPUT_FORMATS = ["table", "wide", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface RenderOptions {
  readonly format: OutputFormat;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Columns of the terminal; undefined when it is none, then nothing is cut. */
  readonly width: number | undefined;
  readonly colour: boolean;
  /** Sides that did not answer. */
  readonly unknown?: readonly UnknownSide[];
}

/** The list as text that ends with a newline. */
export function renderVolumes(volumes: readonly ListedVolume[], options: RenderOptions): string {
  switch (options.format) {
    case "json":
      return `${jsonText(document(volumes, options), 2)}\n`;
    case "yaml":
      return yamlText(document(volumes, options));
    default:
      return table(volumes, options);
  }
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
function document(volumes: readonly ListedVolume[], { unknown = [] }: RenderOptions): object {
  return {
    apiVersion: "rds-csi/v1",
    kind: "VolumeList",
    items: volumes.map(volumeDocument),
    unknown: unknown.map(({ what, reason, remedy }) => ({ what, reason, remedy: remedy ?? null })),
  };
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
    problems: problemsOf(volume).map(sentenceOf),
    findings: volume.findings.map((finding) => {
      const { id, severity, node, remedy } = finding;
      return { id, severity, text: sentenceOf(finding), node: node ?? null, remedy };
    }),
  };
}

const COLOURS: Readonly<Record<VolumeState, string>> = {
  available: "",
  attached: "\u001b[32m",
  migrating: "\u001b[36m",
  foreign: "\u001b[33m",
  broken: "\u001b[31m",
  missing: "\u001b[31m",
  unknown: "\u001b[33m",
};
const BOLD = "\u001b[1m";
const RED = "\u001b[31m";
const RESET = "\u001b[0m";

const since = (time: string | undefined, now: number): number | undefined =>
  time === undefined ? undefined : (now - Date.parse(time)) / 1000;

function migrationText({ migration }: ListedVolume, now: number): string {
  if (migration === undefined) return "-";
  const taken = shortDuration(since(migration.since, now) ?? 0);
  const allowed = migration.timeoutSeconds === 0 ? "none" : shortDuration(migration.timeoutSeconds);
  return `${taken}/${allowed}${migration.overdue ? " OVERDUE" : ""}`;
}

/** Columns of a terminal from which on MIGRATION and AGE have room beside each other. */
const ROOM_FOR_BOTH = 100;

/** Lines of the problems of all volumes. That of a pool is said once, with the number of its volumes. */
function problemLines(volumes: readonly ListedVolume[]): string[] {
  const onPools = new Map<string, number>();
  const lines = volumes.flatMap((volume) =>
    problemsOf(volume).flatMap((finding) => {
      const text = sentenceOf(finding);
      if (finding.subject.kind !== "pool") return [printable(`${volume.handle}: ${text}`)];
      onPools.set(text, (onPools.get(text) ?? 0) + 1);
      return [];
    }),
  );
  const pools = [...onPools].map(([text, count]) => printable(`${text}: ${count} volumes are on it`));
  return [...pools, ...lines];
}

function table(volumes: readonly ListedVolume[], options: RenderOptions): string {
  const { format, now, width, colour, unknown = [] } = options;
  const missing = unknown.map(({ what, reason, remedy }) =>
    printable(`${what}: ${reason}${remedy === undefined ? "" : `. ${remedy}`}`),
  );
  const notKnown = missing.length > 0 ? ["", "Not known:", ...missing] : [];
  if (volumes.length === 0) return `${["No volumes.", ...notKnown].join("\n")}\n`;
  const wide = format === "wide";
  const column = (title: string, cell: (volume: ListedVolume) => string, minimum?: number): Column => ({
    title,
    cells: volumes.map((volume) => printable(cell(volume)) || "-"),
    ...(minimum === undefined || wide ? {} : { minimum }),
  });
  const migrating = volumes.some(({ migration }) => migration !== undefined);
  const columns = [
    column("STATE", ({ state }) => state),
    column("SIZE", ({ sizeBytes }) => shortSize(sizeBytes)),
    column("PVC", ({ pvc }) => (pvc === undefined ? "-" : `${pvc.namespace}/${pvc.name}`), 6),
    column("NODES", ({ nodes }) => nodes.map(({ node }) => node).join(","), 5),
    // Rare, so the column is there only when it says something.
    ...(wide || migrating ? [column("MIGRATION", (volume) => migrationText(volume, now), 10)] : []),
    // Both do not fit beside a whole handle.
    ...(migrating && !wide && width !== undefined && width < ROOM_FOR_BOTH
      ? []
      : [
          column("AGE", ({ createdAt }) => {
            const age = since(createdAt, now);
            return age === undefined ? "-" : shortAge(age);
          }),
        ]),
    column("HANDLE", ({ handle }) => handle),
    ...(wide
      ? [
          column("NAME", ({ csiName }) => csiName),
          column("EXPORTED", ({ exported }) => (exported ? "yes" : "no")),
          column("NQN", ({ nqn }) => nqn),
          column("PATH", ({ path }) => path),
        ]
      : []),
  ];
  const paint = (row: number, title: string, text: string): string => {
    if (!colour) return text;
    if (row < 0) return `${BOLD}${text}${RESET}`;
    const volume = volumes[row];
    const overdue = title === "MIGRATION" && volume?.migration?.overdue === true;
    const code = title === "STATE" && volume !== undefined ? COLOURS[volume.state] : overdue ? RED : "";
    return code === "" ? text : `${code}${text}${RESET}`;
  };
  const problems = problemLines(volumes);
  const lines = tableLines(columns, wide ? undefined : width, paint);
  return `${[...lines, ...(problems.length > 0 ? ["", "Problems:", ...problems] : []), ...notKnown].join("\n")}\n`;
}
