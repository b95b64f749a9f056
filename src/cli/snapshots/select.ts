import { type Condition, compare, fitsAll, lastIfMissing } from "../conditions.ts";
import { type ListedSnapshot, SNAPSHOT_STATES, type SnapshotState, sourceClaim } from "./model.ts";

export const SNAPSHOT_SORT_KEYS = ["state", "claim", "age", "size", "handle"] as const;
export type SnapshotSortKey = (typeof SNAPSHOT_SORT_KEYS)[number];

/** The snapshots that a person asks for; an empty list selects all. */
export interface SnapshotSelection {
  /** Namespaces of the claim or of a VolumeSnapshot. */
  readonly namespaces: readonly string[];
  /** Sources: volume handle, or claim as `namespace/name`. */
  readonly sources: readonly string[];
  readonly states: readonly SnapshotState[];
}

function namespacesOf({ pvc, contents }: ListedSnapshot): string[] {
  return [
    ...(pvc === undefined ? [] : [pvc.namespace]),
    ...contents.map(({ snapshot }) => snapshot.namespace),
  ];
}

function sourceNames(snapshot: ListedSnapshot): string[] {
  return [snapshot.source.handle, sourceClaim(snapshot)].filter((name) => name !== undefined);
}

/** The selection as options of the command line. */
export function conditionsOf({
  namespaces,
  sources,
  states,
}: SnapshotSelection): Condition<ListedSnapshot>[] {
  const all: Condition<ListedSnapshot>[] = [
    {
      text: `-n ${namespaces.join(",")}`,
      wanted: namespaces,
      fits: (snapshot) => namespacesOf(snapshot).some((each) => namespaces.includes(each)),
      values: ["namespaces", namespacesOf],
    },
    {
      text: `--source ${sources.join(",")}`,
      wanted: sources,
      fits: (snapshot) => sourceNames(snapshot).some((each) => sources.includes(each)),
      values: ["sources", (snapshot) => sourceNames(snapshot).slice(-1)],
    },
    {
      text: `--state ${states.join(",")}`,
      wanted: states,
      fits: ({ state }) => states.includes(state),
    },
  ];
  return all.filter(({ wanted }) => wanted.length > 0);
}

/** Whether a snapshot is selected. */
export function selectsSnapshot(selection: SnapshotSelection): (snapshot: ListedSnapshot) => boolean {
  return fitsAll(conditionsOf(selection));
}

const newestFirst = (a: ListedSnapshot, b: ListedSnapshot): number =>
  a.createdAt === undefined || b.createdAt === undefined
    ? lastIfMissing(a.createdAt, b.createdAt)
    : compare(b.createdAt, a.createdAt);

const ORDERS: Readonly<Record<SnapshotSortKey, (a: ListedSnapshot, b: ListedSnapshot) => number>> = {
  state: (a, b) => SNAPSHOT_STATES.indexOf(a.state) - SNAPSHOT_STATES.indexOf(b.state),
  claim: () => 0,
  age: newestFirst,
  size: (a, b) => (a.sizeBytes < b.sizeBytes ? 1 : a.sizeBytes > b.sizeBytes ? -1 : 0),
  handle: (a, b) => compare(a.handle, b.handle),
};

/** Sorts by a key; equal snapshots by claim, the newest first. */
export function sortedSnapshots(
  snapshots: readonly ListedSnapshot[],
  key: SnapshotSortKey,
): ListedSnapshot[] {
  return snapshots.toSorted(
    (a, b) =>
      ORDERS[key](a, b) ||
      lastIfMissing(sourceClaim(a), sourceClaim(b)) ||
      newestFirst(a, b) ||
      compare(a.handle, b.handle),
  );
}
