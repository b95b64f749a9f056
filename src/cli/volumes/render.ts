import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import { jsonText, yamlText } from "../machine-text.ts";
import type { ListedVolume, VolumeState } from "./model.ts";
import { type Column, shortAge, shortDuration, tableLines } from "./text.ts";

export const OUTPUT_FORMATS = ["table", "wide", "json", "yaml"] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

export interface RenderOptions {
  readonly format: OutputFormat;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Columns of the terminal; undefined when it is none, then nothing is cut. */
  readonly width: number | undefined;
  readonly colour: boolean;
}

/** The list as text that ends with a newline. */
export function renderVolumes(volumes: readonly ListedVolume[], options: RenderOptions): string {
  switch (options.format) {
    case "json":
      return `${jsonText(document(volumes), 2)}\n`;
    case "yaml":
      return yamlText(document(volumes));
    default:
      return table(volumes, options);
  }
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
function document(volumes: readonly ListedVolume[]): object {
  return {
    apiVersion: "rds-csi/v1",
    kind: "VolumeList",
    items: volumes.map(volumeDocument),
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
    problems: volume.problems,
  };
}

const COLOURS: Readonly<Record<VolumeState, string>> = {
  available: "",
  attached: "\u001b[32m",
  migrating: "\u001b[36m",
  foreign: "\u001b[33m",
  broken: "\u001b[31m",
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

function table(volumes: readonly ListedVolume[], { format, now, width, colour }: RenderOptions): string {
  if (volumes.length === 0) return "No volumes.\n";
  const wide = format === "wide";
  const column = (title: string, cell: (volume: ListedVolume) => string, minimum?: number): Column => ({
    title,
    cells: volumes.map((volume) => printable(cell(volume)) || "-"),
    ...(minimum === undefined || wide ? {} : { minimum }),
  });
  const migrating = volumes.some(({ migration }) => migration !== undefined);
  const columns = [
    column("STATE", ({ state }) => state),
    column("SIZE", ({ sizeBytes }) => (sizeBytes > 0n ? shortSize(sizeBytes) : "-")),
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
  const problems = volumes.flatMap(({ handle, problems: all }) =>
    all.map((problem) => printable(`${handle}: ${problem}`)),
  );
  const lines = tableLines(columns, wide ? undefined : width, paint);
  return `${[...lines, ...(problems.length > 0 ? ["", "Problems:", ...problems] : [])].join("\n")}\n`;
}
