import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import { sentenceOf } from "../../inspect/finding.ts";
import { jsonText } from "../machine-text.ts";
import { volumeTable } from "./list-table.ts";
import { problemsOf } from "./listed.ts";
import { claimOf, type ListedVolume } from "./model.ts";
import { countsText, problemLines, sharedProblems } from "./problems.ts";
import { volumeDocument } from "./render.ts";
import { ALL, type Choice, nothingSelected, selectionText, selects, sorted, unreadHint } from "./select.ts";
import { wrap } from "./show-text.ts";
import { isoTime } from "./text.ts";

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
  /** When the list was read. */
  readonly readAt: number;
  readonly now: number;
  readonly troubles: readonly Trouble[];
}

/** A line of the stream. */
export type WatchChange =
  | { readonly change: "added" | "changed" | "removed"; readonly volume: ListedVolume }
  | { readonly change: "lost" | "back"; readonly trouble: Trouble };

const iso = (ms: number): string => isoTime(ms / 1_000);

/**
 * The changes after a look, volumes by handle. A side that does not answer changes nothing.
 * @param fits whether a volume is selected; a change counts if the volume was or is selected, so that its end is not missed
 */
export function changesBetween(
  before: Look | undefined,
  after: Look,
  fits: (volume: ListedVolume) => boolean = () => true,
): WatchChange[] {
  const was = before?.troubles ?? [];
  const lost = after.troubles.filter(({ side }) => !was.some((each) => each.side === side));
  const back = was.filter(({ side }) => !after.troubles.some((each) => each.side === side));
  const old = new Map((before?.volumes ?? []).map((volume) => [volume.handle, volume]));
  const now = after.volumes ?? [];
  const changed = now.flatMap((volume): WatchChange[] => {
    const known = old.get(volume.handle);
    if (known === undefined) return fits(volume) ? [{ change: "added", volume }] : [];
    if (!fits(known) && !fits(volume)) return [];
    const same = JSON.stringify(volumeDocument(known)) === JSON.stringify(volumeDocument(volume));
    return same ? [] : [{ change: "changed", volume }];
  });
  const present = new Set(now.map(({ handle }) => handle));
  const gone = [...old.values()].filter((volume) => !present.has(volume.handle) && fits(volume));
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
  const head = { apiVersion: "rds-csi/v1", kind: "VolumeWatch", time, change: change.change };
  if ("trouble" in change) {
    const { side, since, reason } = change.trouble;
    if (json) return `${jsonText({ ...head, side, since: iso(since), reason }, 0)}\n`;
    const said = change.change === "lost" ? `does not answer: ${printable(reason)}` : `answers again`;
    return `${time} ${change.change} ${side} ${said}\n`;
  }
  const { volume } = change;
  if (json) return `${jsonText({ ...head, volume: volumeDocument(volume) }, 0)}\n`;
  const { handle, state, sizeBytes, nodes, migration } = volume;
  const problems = problemsOf(volume).map(sentenceOf);
  const parts = [
    ...[time, change.change, handle, state, sizeBytes > 0n ? shortSize(sizeBytes) : "-"],
    claimOf(volume) ?? "-",
    nodes.map(({ node }) => node).join(",") || "-",
    ...(migration === undefined ? [] : [migration.overdue ? "migration OVERDUE" : "migration"]),
    ...(problems.length === 0 ? [] : [`problems: ${problems.join("; ")}`]),
  ];
  return `${parts.map(printable).join(" ")}\n`;
}

export interface FrameOptions extends Choice {
  readonly wide: boolean;
  /** Of the terminal. */
  readonly columns: number;
  /** Of the terminal. */
  readonly rows: number;
  readonly colour: boolean;
}

/**
 * A look as the lines of a screen: no more than its rows. The counts come first, then problems, then the table. Where the rows
 * do not suffice, problems get up to half of them, and the last line of each part counts the rest.
 */
export function frameLines(look: Look, options: FrameOptions): string[] {
  const { wide, columns, rows, colour, selection = ALL, sort = "problems" } = options;
  const status = look.troubles.map(
    ({ side, since, reason }) => `${side} does not answer since ${iso(since)}: ${printable(reason)}`,
  );
  const all = look.volumes ?? [];
  const volumes = sorted(all.filter(selects(selection)), sort);
  const read =
    look.volumes === undefined
      ? "nothing read yet"
      : `${countsText(volumes, all.length, selectionText(selection))}, as of ${iso(look.readAt)}`;
  const head = [`${read}; Ctrl-C ends`, ...unreadHint(all, selection), ...status]
    .flatMap((line) => wrap(line, columns))
    .slice(0, rows);
  if (look.volumes === undefined) return head;
  const handles = all.map(({ handle }) => handle);
  const table =
    volumes.length > 0
      ? volumeTable(volumes, { wide, now: look.now, width: columns, colour, handles })
      : (all.length === 0 ? ["No volumes."] : nothingSelected(all, selection)).flatMap((line) =>
          wrap(line, columns),
        );
  const problems = sharedProblems(volumes);
  const full = problems.flatMap((problem) => problemLines(problem, { width: columns, colour }));
  const gap = problems.length > 0 ? [""] : [];
  const whole = [...head, "", ...full, ...gap, ...table];
  if (whole.length <= rows) return whole;
  const blank = rows < ROWS_FOR_BLANKS ? [] : [""];
  const left = rows - head.length - 2 * blank.length;
  const forProblems = Math.min(problems.length, Math.max(Math.floor(left / 2), left - table.length));
  const listed = problems.flatMap((problem) =>
    problemLines(problem, { width: columns, colour, brief: true }),
  );
  const shown = [
    ...[...head, ...blank],
    ...upTo(forProblems, listed, (rest) => `… ${rest} more problems: --problems lists them`),
    ...(problems.length > 0 ? blank : []),
  ];
  const rest = upTo(
    rows - shown.length,
    table,
    (more) => `… ${more} more volumes: -n, --node, --state choose`,
  );
  return [...shown, ...rest].slice(0, rows);
}

/** Below so many rows blank lines make room for text. */
const ROWS_FOR_BLANKS = 12;

/** Up to so many lines; if that are not all, the last one counts the rest. */
function upTo(room: number, lines: readonly string[], more: (rest: number) => string): string[] {
  if (lines.length <= room) return [...lines];
  return room < 1 ? [] : [...lines.slice(0, room - 1), more(lines.length - room + 1)];
}
