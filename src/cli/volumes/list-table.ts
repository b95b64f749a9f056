import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import type { VolumeState } from "../../inspect/compare.ts";
import { copyProgress } from "../../rds/copy.ts";
import { problemsOf } from "./listed.ts";
import { claimOf, type ListedVolume } from "./model.ts";
import { firstLabel } from "./select.ts";
import { COLOUR, MARK } from "./show-text.ts";
import { type Column, cutClaim, painted, type Screen, shortAge, shortDuration, tableLines } from "./text.ts";

export interface TableOptions extends Screen {
  /** All columns, nothing cut. */
  readonly wide: boolean;
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Handles of every volume on the RDS: a cut handle stays a prefix that only one of them has. */
  readonly handles: readonly string[];
}

const STATE_COLOURS: Readonly<Record<VolumeState, string>> = {
  available: "",
  attached: "32",
  migrating: "36",
  copying: "36",
  foreign: "33",
  broken: "31",
  missing: "31",
  unknown: "33",
};
const BOLD = "1";

/** Columns of a terminal from which on MIGRATION and AGE have room beside each other. */
const ROOM_FOR_BOTH = 100;
/** `csi-` and eight digits; `volumes show` takes them. */
const SHORTEST_HANDLE = 12;

const since = (time: string | undefined, now: number): number | undefined =>
  time === undefined ? undefined : (now - Date.parse(time)) / 1000;

function migrationText({ migration }: ListedVolume, now: number): string {
  if (migration === undefined) return "-";
  const taken = shortDuration(since(migration.since, now) ?? 0);
  const allowed = migration.timeoutSeconds === 0 ? "none" : shortDuration(migration.timeoutSeconds);
  return `${taken}/${allowed}${migration.overdue ? " OVERDUE" : ""}`;
}

function ageText({ createdAt }: ListedVolume, now: number): string {
  const age = since(createdAt, now);
  return age === undefined ? "-" : shortAge(age);
}

/** `3 (≤30Gi)`: their number, and the bytes that they may hold at most. */
function snapshotsText({ snapshots }: ListedVolume): string {
  if (snapshots === undefined) return "-";
  const { count, bytesAtMost } = snapshots;
  return count === 0 ? "0" : `${count} (≤${shortSize(bytesAtMost, "up")})`;
}

/** The volumes as lines of a table, titles first. On a narrow terminal the handle is cut first, then nodes, the claim last. */
export function volumeTable(volumes: readonly ListedVolume[], options: TableOptions): string[] {
  const { wide, now, width, colour } = options;
  const column = (
    title: string,
    cell: (volume: ListedVolume) => string,
    more: Partial<Column> = {},
  ): Column => ({ title, cells: volumes.map((volume) => printable(cell(volume)) || "-"), ...more });
  const worst = volumes.map((volume) => problemsOf(volume)[0]?.severity);
  const migrating = volumes.some(({ migration }) => migration !== undefined);
  const nodes = ({ nodes: all }: ListedVolume): string => all.map(({ node }) => node).join(",");
  const short = distinctWhenShort(volumes) ? column("NODES", shortNodes).cells : undefined;
  const shortest = Math.max(SHORTEST_HANDLE, distinctLength(options.handles)) + 1;
  // Rare columns are there only if they say something.
  const columns = [
    column("STATE", ({ state }) => state),
    ...(worst.some((each) => each !== undefined)
      ? [{ title: "!", cells: worst.map((each) => (each === undefined ? "-" : MARK[each].trim())) }]
      : []),
    column("SIZE", ({ sizeBytes }) => (sizeBytes > 0n ? shortSize(sizeBytes) : "-")),
    column("PVC", (volume) => claimOf(volume) ?? "-", { floors: [undefined, 24, 16, 6], cut: cutClaim }),
    column("NODES", nodes, { floors: [undefined, 18, 10, 5], ...(short === undefined ? {} : { short }) }),
    ...(wide || migrating
      ? [
          column("MIGRATION", (volume) => migrationText(volume, now), {
            floors: [undefined, undefined, 10, 10],
          }),
        ]
      : []),
    ...(migrating && !wide && width !== undefined && width < ROOM_FOR_BOTH
      ? []
      : [column("AGE", (volume) => ageText(volume, now))]),
    column("HANDLE", ({ handle }) => handle, { floors: [shortest, shortest, shortest, shortest] }),
    ...(wide
      ? [
          column("NAME", ({ csiName }) => csiName),
          ...(volumes.some(({ snapshots }) => snapshots !== undefined)
            ? [column("SNAPSHOTS", snapshotsText)]
            : []),
          column("LAYOUT", ({ layout }) => layout ?? "-"),
          ...(volumes.some(({ copy }) => copy !== undefined)
            ? [column("COPIED", ({ copy }) => (copy === undefined ? "-" : copyProgress(copy)))]
            : []),
          column("SOURCE", ({ source }) => source ?? "-"),
          column("EXPORTED", ({ exported }) => (exported ? "yes" : "no")),
          column("NQN", ({ nqn }) => nqn),
          column("PATH", ({ path }) => path),
          column("PROBLEMS", ({ findings }) => findings.map(({ id }) => id).join(",")),
        ]
      : []),
  ];
  const paint = (row: number, title: string, text: string): string => {
    const volume = volumes[row];
    const severity = worst[row];
    const code =
      row < 0
        ? BOLD
        : title === "STATE" && volume !== undefined
          ? STATE_COLOURS[volume.state]
          : title === "!" && severity !== undefined
            ? COLOUR[severity]
            : title === "MIGRATION" && volume?.migration?.overdue === true
              ? COLOUR.error
              : "";
    return painted(text, code, colour);
  };
  return tableLines(columns, wide ? undefined : width, paint);
}

/** `worker-1` for worker-1.example.org, `worker-1+1` with one more node. */
function shortNodes({ nodes: [first, ...more] }: ListedVolume): string {
  return `${firstLabel(first?.node ?? "")}${more.length === 0 ? "" : `+${more.length}`}`;
}

/** Whether the first labels of the nodes' names tell the nodes apart. */
function distinctWhenShort(volumes: readonly ListedVolume[]): boolean {
  const names = new Set(volumes.flatMap(({ nodes }) => nodes.map(({ node }) => node)));
  return new Set([...names].map(firstLabel)).size === names.size;
}

/** The shortest length at which the beginnings of all handles differ. */
export function distinctLength(handles: readonly string[]): number {
  const ordered = [...new Set(handles)].toSorted();
  return Math.max(
    0,
    ...ordered.slice(1).map((handle, index) => {
      const before = ordered[index] ?? "";
      let same = 0;
      while (same < handle.length && handle[same] === before[same]) same += 1;
      return same + 1;
    }),
  );
}
