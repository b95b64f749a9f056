import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import { conditionsText, nothingFits } from "../conditions.ts";
import { machineText } from "../machine-text.ts";
import { distinctLength } from "../volumes/list-table.ts";
import type { UnknownSide } from "../volumes/model.ts";
import { plain } from "../volumes/show-document.ts";
import { wrap } from "../volumes/show-text.ts";
import { type Column, cutClaim, painted, type Screen, shortAge, tableLines } from "../volumes/text.ts";
import {
  bytesAtMost,
  type ListedSnapshot,
  needsLook,
  type SnapshotState,
  sourceClaim,
  volumeSnapshots,
} from "./model.ts";
import {
  conditionsOf,
  type SnapshotSelection,
  type SnapshotSortKey,
  selectsSnapshot,
  sortedSnapshots,
} from "./select.ts";

export interface SnapshotRender extends Screen {
  readonly format: "table" | "wide" | "json" | "yaml";
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly selection: SnapshotSelection;
  /** Default: by state; JSON and YAML by handle. */
  readonly sort: SnapshotSortKey | undefined;
  readonly unknown: readonly UnknownSide[];
}

const STATE_COLOURS: Readonly<Record<SnapshotState, string>> = {
  named: "32",
  unnamed: "33",
  missing: "31",
  unknown: "33",
};
const BOLD = "1";
/** `snap-` and eight digits; `snapshots show` takes them. */
const SHORTEST_HANDLE = 13;

/** The list as text that ends with a newline. @param all every snapshot, selected or not */
export function renderSnapshots(all: readonly ListedSnapshot[], options: SnapshotRender): string {
  const { format, selection, sort, unknown } = options;
  const machine = format === "json" || format === "yaml";
  const chosen = all.filter(selectsSnapshot(selection));
  const snapshots = sortedSnapshots(chosen, sort ?? (machine ? "handle" : "state"));
  return machine
    ? machineText(document(snapshots, all.length, unknown), format)
    : `${lines(all, snapshots, options).join("\n")}\n`;
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
function document(
  snapshots: readonly ListedSnapshot[],
  total: number,
  unknown: readonly UnknownSide[],
): object {
  return {
    ...{ apiVersion: "rds-csi/v1", kind: "SnapshotList", total },
    bytesAtMost: Number(bytesAtMost(snapshots)),
    items: snapshots.map(snapshotDocument),
    unknown: plain(unknown),
  };
}

/** One item of the machine-readable list. */
export function snapshotDocument(snapshot: ListedSnapshot): unknown {
  return plain(snapshot);
}

function lines(
  all: readonly ListedSnapshot[],
  snapshots: readonly ListedSnapshot[],
  options: SnapshotRender,
): string[] {
  const { format, width, selection, unknown } = options;
  const room = format === "wide" ? undefined : width;
  const flow = (line: string): string[] => wrap(line, room);
  const unread = unknown.map(({ what, reason, remedy }) =>
    printable(`${what}: ${reason}${remedy === undefined ? "" : `. ${remedy}`}`),
  );
  const notKnown = unread.length > 0 ? ["", "Not known:", ...unread.flatMap(flow)] : [];
  if (all.length === 0) return ["No snapshots.", ...notKnown];
  const conditions = conditionsOf(selection);
  if (snapshots.length === 0) return [...nothingFits(all, conditions, "snapshot").flatMap(flow), ...notKnown];
  const counted = countsText(snapshots, all.length, conditionsText(conditions));
  return [...table(snapshots, all, options), ...notKnown, "", ...flow(printable(counted))];
}

/** `3 of 5 snapshots (-n vms), at most 30Gi; 1 that nothing names; 1 missing.` */
function countsText(shown: readonly ListedSnapshot[], total: number, selection: string): string {
  const count = selection === "" ? `${total}` : `${shown.length} of ${total}`;
  const chosen = selection === "" ? "" : ` (${selection})`;
  const of = (wanted: SnapshotState): number => shown.filter(({ state }) => state === wanted).length;
  const more = [
    ...(of("unnamed") > 0 ? [`${of("unnamed")} that no VolumeSnapshotContent names`] : []),
    ...(of("missing") > 0 ? [`${of("missing")} missing on the RDS`] : []),
  ];
  const plural = total === 1 ? "" : "s";
  const held = `they may hold ${shortSize(bytesAtMost(shown), "up")} at most`;
  return `${[`${count} snapshot${plural}${chosen}, ${held}`, ...more].join("; ")}.`;
}

function table(
  snapshots: readonly ListedSnapshot[],
  all: readonly ListedSnapshot[],
  { format, now, width, colour }: SnapshotRender,
): string[] {
  const wide = format === "wide";
  const column = (
    title: string,
    cell: (snapshot: ListedSnapshot) => string | undefined,
    more: Partial<Column> = {},
  ): Column => ({ title, cells: snapshots.map((each) => printable(cell(each) || "-")), ...more });
  const shortest = Math.max(SHORTEST_HANDLE, distinctLength(all.map(({ handle }) => handle))) + 1;
  const age = ({ createdAt }: ListedSnapshot): string | undefined =>
    createdAt === undefined ? undefined : shortAge((now - Date.parse(createdAt)) / 1_000);
  const gone = ({ source }: ListedSnapshot): string => (source.exists ? "" : " (gone)");
  const columns = [
    column("STATE", ({ state }) => state),
    column("SIZE", ({ sizeBytes }) => (sizeBytes > 0n ? shortSize(sizeBytes) : undefined)),
    column("HOLDS", ({ content }) => content),
    column("PVC", (each) => sourceClaim(each) ?? (each.source.exists ? undefined : "(source gone)"), {
      ...{ floors: [undefined, 20, 14, 6], cut: cutClaim },
    }),
    column("VOLUMESNAPSHOT", (each) => volumeSnapshots(each).join(","), {
      ...{ floors: [undefined, 20, 14, 6], cut: cutClaim },
    }),
    column("AGE", age),
    column("HANDLE", ({ handle }) => handle, { floors: [shortest, shortest, shortest, shortest] }),
    ...(wide
      ? [
          column("CREATED", ({ createdAt }) => createdAt),
          column("SOURCE", (each) => each.source.handle && `${each.source.handle}${gone(each)}`),
          column("POOL", ({ pool }) => pool?.slot),
          column("LABEL", ({ pool }) => pool?.label),
          column("SUBVOLUME", ({ path }) => path),
          column("VOLUMESNAPSHOTCONTENT", ({ contents }) => contents.map(({ name }) => name).join(",")),
        ]
      : []),
  ];
  return tableLines(columns, wide ? undefined : width, (row, title, text) => {
    const snapshot = snapshots[row];
    const code = row < 0 ? BOLD : title === "STATE" && snapshot ? STATE_COLOURS[snapshot.state] : "";
    return painted(text, code, colour);
  });
}

/** Whether a list shows something that a person should look at. */
export function anyNeedsLook(snapshots: readonly ListedSnapshot[]): boolean {
  return snapshots.some(needsLook);
}
