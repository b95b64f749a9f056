import { VOLUME_STATES, type VolumeState } from "../../inspect/compare.ts";
import { SEVERITIES } from "../../inspect/entry.ts";
import {
  type Condition,
  compare,
  conditionsText,
  fitsAll,
  lastIfMissing,
  nothingFits,
} from "../conditions.ts";
import { claimOf, hasProblem, type ListedVolume } from "./model.ts";

export const SORT_KEYS = ["problems", "claim", "node", "state", "size", "age", "handle"] as const;
export type SortKey = (typeof SORT_KEYS)[number];

/** The states that a list shows; `volumes show` alone has `unknown`. */
export const LISTED_STATES = VOLUME_STATES.filter((state) => state !== "unknown");

/** The volumes that a person asks for; an empty list selects all. Volumes that meet each condition are shown. */
export interface Selection {
  /** Namespaces of claims. */
  readonly namespaces: readonly string[];
  /** Nodes that a volume is attached to; the first label of a full name is enough. */
  readonly nodes: readonly string[];
  readonly states: readonly VolumeState[];
  /** Only volumes with an error or a warning. */
  readonly problems: boolean;
}

/** Selects every volume. */
export const ALL: Selection = { namespaces: [], nodes: [], states: [], problems: false };

/** The volumes that a list shows, and their order. */
export interface Choice {
  /** Default: all. */
  readonly selection?: Selection;
  /** Default: problems first; JSON and YAML by handle. */
  readonly sort?: SortKey | undefined;
}

/** `worker-1` for worker-1.example.org. */
export const firstLabel = (name: string): string => name.replace(/\..*$/, "");

const isNode = (wanted: string, node: string): boolean => node === wanted || firstLabel(node) === wanted;

function conditions({ namespaces, nodes, states, problems }: Selection): Condition<ListedVolume>[] {
  const all: Condition<ListedVolume>[] = [
    {
      text: `-n ${namespaces.join(",")}`,
      wanted: namespaces,
      fits: ({ pvc }) => pvc !== undefined && namespaces.includes(pvc.namespace),
      values: ["namespaces", ({ pvc }) => (pvc === undefined ? [] : [pvc.namespace])],
    },
    {
      text: `--node ${nodes.join(",")}`,
      wanted: nodes,
      fits: (volume) => volume.nodes.some(({ node }) => nodes.some((wanted) => isNode(wanted, node))),
      values: ["nodes with volumes", (volume) => volume.nodes.map(({ node }) => firstLabel(node))],
    },
    {
      text: `--state ${states.join(",")}`,
      wanted: states,
      fits: ({ state }) => states.includes(state),
    },
  ];
  return [
    ...all.filter(({ wanted }) => wanted.length > 0),
    ...(problems ? [{ text: "--problems", wanted: [], fits: hasProblem }] : []),
  ];
}

/** Whether a volume is selected. */
export function selects(selection: Selection): (volume: ListedVolume) => boolean {
  return fitsAll(conditions(selection));
}

/** The selection as its options; "" when it selects every volume. */
export function selectionText(selection: Selection): string {
  return conditionsText(conditions(selection));
}

/** Answers an empty result: how many volumes there are, how many each option selects, and which values exist. */
export function nothingSelected(all: readonly ListedVolume[], selection: Selection): string[] {
  return nothingFits(all, conditions(selection), "volume");
}

/** Mentions the volumes that a node or a namespace may choose, and whose record, which would tell it, cannot be read. */
export function unreadHint(all: readonly ListedVolume[], { namespaces, nodes }: Selection): string[] {
  if (namespaces.length === 0 && nodes.length === 0) return [];
  // A PersistentVolume may tell the claim; nodes are told by the record only.
  const isOpen = ({ pvc }: ListedVolume): boolean =>
    namespaces.length === 0 || pvc === undefined || (nodes.length > 0 && namespaces.includes(pvc.namespace));
  const count = all.filter((volume) => volume.recordUnknown === true && isOpen(volume)).length;
  if (count === 0) return [];
  const [what, them] = count === 1 ? ["1 volume", "it"] : [`${count} volumes`, "them"];
  return [`${what} whose record cannot be read may belong here; --state foreign lists ${them}.`];
}

/** The worst problems first, warnings about foreign disks last, then volumes without a problem. */
function problemRank({ findings, state }: ListedVolume): number {
  const worst = Math.max(0, ...findings.map(({ severity }) => SEVERITIES.indexOf(severity)));
  // Another cluster on the same RDS has many such disks.
  return worst === SEVERITIES.indexOf("warning") && state === "foreign" ? worst - 0.5 : worst;
}

const ORDERS: Readonly<Record<SortKey, (a: ListedVolume, b: ListedVolume) => number>> = {
  problems: (a, b) => problemRank(b) - problemRank(a),
  claim: () => 0,
  node: (a, b) => lastIfMissing(a.nodes[0]?.node, b.nodes[0]?.node),
  state: (a, b) => VOLUME_STATES.indexOf(a.state) - VOLUME_STATES.indexOf(b.state),
  size: (a, b) => (a.sizeBytes < b.sizeBytes ? 1 : a.sizeBytes > b.sizeBytes ? -1 : 0),
  age: ({ createdAt: a }, { createdAt: b }) =>
    a === undefined || b === undefined ? lastIfMissing(a, b) : compare(b, a),
  handle: (a, b) => compare(a.handle, b.handle),
};

/** Sorts by a key; equal volumes by claim, then by handle. `size` and `age` put the largest and the newest first. */
export function sorted(volumes: readonly ListedVolume[], key: SortKey): ListedVolume[] {
  return volumes.toSorted(
    (a, b) => ORDERS[key](a, b) || lastIfMissing(claimOf(a), claimOf(b)) || compare(a.handle, b.handle),
  );
}
