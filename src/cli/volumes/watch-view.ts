import type { Drift } from "../../controller/drift.ts";
import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import { jsonText } from "../machine-text.ts";
import type { ListedVolume } from "./model.ts";
import { renderVolumes, volumeDocument } from "./render.ts";
import { wrap } from "./show-text.ts";

/** A side that does not answer. Times are milliseconds since the Unix epoch. */
export interface Trouble {
  readonly side: "RDS" | "Kubernetes";
  readonly since: number;
  readonly reason: string;
}

/** What is known after one look. */
export interface Look {
  /** The last list that was read; undefined before the first. */
  readonly volumes: readonly ListedVolume[] | undefined;
  /** What the cluster last said otherwise. */
  readonly drift: readonly Drift[];
  /** When the list was read. */
  readonly readAt: number;
  readonly now: number;
  readonly troubles: readonly Trouble[];
}

/** A line of the stream. */
export type WatchChange =
  | { readonly change: "added" | "changed" | "removed"; readonly volume: ListedVolume }
  | { readonly change: "lost" | "back"; readonly trouble: Trouble };

const iso = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");

/** What is different after a look, volumes by handle; what a side that does not answer hides is no change. */
export function changesBetween(before: Look | undefined, after: Look): WatchChange[] {
  const was = before?.troubles ?? [];
  const lost = after.troubles.filter(({ side }) => !was.some((each) => each.side === side));
  const back = was.filter(({ side }) => !after.troubles.some((each) => each.side === side));
  const old = new Map((before?.volumes ?? []).map((volume) => [volume.handle, volume]));
  const now = after.volumes ?? [];
  const changed = now.flatMap((volume): WatchChange[] => {
    const known = old.get(volume.handle);
    if (known === undefined) return [{ change: "added", volume }];
    const same = JSON.stringify(volumeDocument(known)) === JSON.stringify(volumeDocument(volume));
    return same ? [] : [{ change: "changed", volume }];
  });
  const gone = [...old.values()].filter(({ handle }) => !now.some((volume) => volume.handle === handle));
  return [
    ...lost.map((trouble): WatchChange => ({ change: "lost", trouble })),
    ...back.map((trouble): WatchChange => ({ change: "back", trouble })),
    ...changed,
    ...gone.map((volume): WatchChange => ({ change: "removed", volume })),
  ];
}

/** One change as one line, for people or as a JSON object. @param now milliseconds since the Unix epoch */
export function changeLine(change: WatchChange, now: number, json: boolean): string {
  const time = iso(now);
  if ("trouble" in change) {
    const { side, since, reason } = change.trouble;
    if (json) {
      const head = { apiVersion: "rds-csi/v1", kind: "VolumeWatch", time, change: change.change };
      return `${jsonText({ ...head, side, since: iso(since), reason }, 0)}\n`;
    }
    const said = change.change === "lost" ? `does not answer: ${printable(reason)}` : `answers again`;
    return `${time} ${change.change} ${side} ${said}\n`;
  }
  const { volume } = change;
  if (json) {
    const head = { apiVersion: "rds-csi/v1", kind: "VolumeWatch", time, change: change.change };
    return `${jsonText({ ...head, volume: volumeDocument(volume) }, 0)}\n`;
  }
  const { handle, state, sizeBytes, pvc, nodes, migration, problems } = volume;
  const parts = [
    ...[time, change.change, handle, state, sizeBytes > 0n ? shortSize(sizeBytes) : "-"],
    pvc === undefined ? "-" : `${pvc.namespace}/${pvc.name}`,
    nodes.map(({ node }) => node).join(",") || "-",
    ...(migration === undefined ? [] : [migration.overdue ? "migration OVERDUE" : "migration"]),
    ...(problems.length === 0 ? [] : [`problems: ${problems.join("; ")}`]),
  ];
  return `${parts.map(printable).join(" ")}\n`;
}

export interface FrameOptions {
  readonly wide: boolean;
  /** Of the terminal. */
  readonly columns: number;
  /** Of the terminal. */
  readonly rows: number;
  readonly colour: boolean;
}

/** A look as the lines of a screen: no more than its rows, problems wrapped to its columns. */
export function frameLines(look: Look, { wide, columns, rows, colour }: FrameOptions): string[] {
  const status = look.troubles.map(
    ({ side, since, reason }) => `${side} does not answer since ${iso(since)}: ${printable(reason)}`,
  );
  const read = look.volumes === undefined ? "nothing read yet" : `as of ${iso(look.readAt)}`;
  const head = [`volumes on the RDS, ${read}; Ctrl-C ends`, ...status].flatMap((line) => wrap(line, columns));
  const format = wide ? "wide" : "table";
  const text =
    look.volumes === undefined
      ? ""
      : renderVolumes(look.volumes, { format, now: look.now, width: columns, colour });
  const body = text
    .trimEnd()
    .split("\n")
    // Lines with colours are those of the table, which is made to fit.
    .flatMap((line) => (line.includes("\u001b") || wide ? [line] : wrap(line, columns)));
  const all = [...head, "", ...body];
  if (all.length <= rows) return all;
  const shown = Math.max(1, rows - 1);
  return [...all.slice(0, shown), `… ${all.length - shown} more lines: enlarge the terminal`].slice(0, rows);
}
