import { printable } from "../../domain/printable.ts";
import { shortSize } from "../../domain/size.ts";
import type { Deletable, Orphan } from "../../inspect/orphan.ts";
import { some } from "../conditions.ts";
import { machineText } from "../machine-text.ts";
import type { PlannedOrphan } from "./orphans-plan.ts";
import { plain } from "./show-document.ts";
import { wrap } from "./show-text.ts";
import { type Column, isoTime, painted, type Screen, shortAge, tableLines } from "./text.ts";

export type OrphanFormat = "table" | "wide" | "json" | "yaml";

/** What is asked for: nothing, or a deletion. */
interface Asked {
  readonly deletion: { readonly yes: boolean } | undefined;
  /** Orphans of every kind and age. */
  readonly total: number;
}

export interface OrphansScreen extends Screen, Asked {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  readonly wide: boolean;
}

/** A verdict in a table. */
export const DELETABLE_TEXT: Readonly<Record<Deletable, string>> = {
  yes: "yes",
  named: "by name",
  no: "no",
};
const COLOURS: Readonly<Record<Deletable, string>> = { yes: "32", named: "33", no: "" };
const BOLD = "1";
/** Columns that the name of a pool keeps where there is no room. */
const SHORTEST_POOL = 6;
/** Orphans that a shared reason names. */
const MOST_NAMED = 3;

/** The list or plan for people; ends with a newline. Names are never cut: a deletion takes whole ones. */
export function orphansText(shown: readonly PlannedOrphan[], screen: OrphansScreen): string {
  const { total, deletion, width, wide } = screen;
  const room = wide ? undefined : width;
  if (total === 0) return "No orphans: the cluster names everything of it on the RDS.\n";
  if (shown.length === 0)
    return `No orphan is of that kind and age; there ${total === 1 ? "is 1" : `are ${total}`}.\n`;
  const doomed = shown.filter(({ action }) => action === "delete");
  const counts = countsText(shown, total);
  const end =
    deletion === undefined
      ? `${counts}. rds-csi volumes orphans --delete NAME plans a deletion.`
      : `${doomed.length} to delete with their data, ${shown.length - doomed.length} to keep.`;
  const still =
    deletion === undefined || deletion.yes
      ? []
      : [
          doomed.length > 0
            ? "Nothing was changed. The same command with --yes deletes them."
            : "Nothing was changed.",
        ];
  const below = [end, ...still].flatMap((line) => wrap(line, room));
  // A row that is too long for the terminal is not broken: its name is to be copied.
  return `${[...table(shown, screen), "", "Why:", ...reasons(shown, room), "", ...below].join("\n")}\n`;
}

/** `3 of 5 orphans, 30Gi: 1 disk, 2 snapshots`. */
function countsText(shown: readonly PlannedOrphan[], total: number): string {
  const bytes = shown.reduce((sum, { orphan }) => sum + (orphan.sizeBytes ?? 0n), 0n);
  const kinds = [...Map.groupBy(shown, ({ orphan }) => orphan.kind)].map(
    ([kind, { length }]) => `${length} ${kind}${length === 1 ? "" : "s"}`,
  );
  const count = shown.length === total ? `${total}` : `${shown.length} of ${total}`;
  return `${count} orphan${total === 1 ? "" : "s"}, at most ${shortSize(bytes, "up")}: ${kinds.join(", ")}`;
}

function table(
  shown: readonly PlannedOrphan[],
  { now, width, colour, wide, deletion }: OrphansScreen,
): string[] {
  const column = (
    title: string,
    cell: (each: Orphan, planned: PlannedOrphan) => string | undefined,
  ): Column => ({
    title,
    cells: shown.map((each) => printable(cell(each.orphan, each) || "-")),
  });
  const columns = [
    ...(deletion === undefined ? [] : [column("PLAN", (_, { action }) => action)]),
    column("KIND", ({ kind }) => kind),
    ...(deletion === undefined ? [column("DELETABLE", ({ deletable }) => DELETABLE_TEXT[deletable])] : []),
    column("SIZE", ({ sizeBytes }) => (sizeBytes === undefined ? undefined : shortSize(sizeBytes))),
    column("AGE", ({ since }) => (since === undefined ? "unknown" : shortAge(now / 1_000 - since))),
    { ...column("POOL", ({ pool }) => pool), floors: [SHORTEST_POOL] },
    column("NAME", ({ name }) => name),
    ...(wide ? [column("PATH", ({ path }) => path)] : []),
  ];
  return tableLines(columns, wide ? undefined : width, (row, title, text) => {
    const deletable = shown[row]?.orphan.deletable;
    const code = row < 0 ? BOLD : title === "DELETABLE" && deletable !== undefined ? COLOURS[deletable] : "";
    return painted(text, code, colour);
  });
}

/** A line for each reason, with those that it is about. */
function reasons(shown: readonly PlannedOrphan[], width: number | undefined): string[] {
  const groups = Map.groupBy(shown, ({ orphan }) =>
    [orphan.kind, orphan.reason, DELETABLE_TEXT[orphan.deletable], orphan.why].join("\n"),
  );
  return [...groups].flatMap(([key, group]) => {
    const [kind, reason, verdict, why] = key.split("\n");
    const names = group.map(({ orphan }) => orphan.name);
    const text = `${kind}, ${reason}. Deletable: ${verdict}, ${why}: ${some(names, MOST_NAMED)}`;
    const room = width === undefined ? undefined : Math.max(20, width - 4);
    return wrap(printable(text), room).map((line, at) => `${at === 0 ? "  " : "    "}${line}`);
  });
}

/** The machine-readable form, `rds-csi/v1`; its fields are described in docs/cli.md and only ever added to. */
export function orphansDocument(
  shown: readonly PlannedOrphan[],
  format: "json" | "yaml",
  { total, deletion, outcomes }: Asked & { readonly outcomes: ReadonlyMap<Orphan, string> },
): string {
  const items = shown.map(({ orphan, action }) => {
    const { kind, name, pool, path, sizeBytes, since, reason, deletable, why } = orphan;
    const at = since === undefined ? undefined : isoTime(since);
    const item = { kind, name, pool, path, sizeBytes, since: at, reason, deletable, why };
    return plain(deletion === undefined ? item : { ...item, action, outcome: outcomes.get(orphan) });
  });
  const head = { apiVersion: "rds-csi/v1", kind: "OrphanList", total };
  const carriedOut = deletion === undefined ? {} : { carriedOut: deletion.yes };
  return machineText({ ...head, ...carriedOut, items }, format);
}
