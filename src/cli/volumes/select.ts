import { didYouMean } from "../../config/did-you-mean.ts";
import { printable } from "../../domain/printable.ts";
import { VOLUME_STATES, type VolumeState } from "../../inspect/compare.ts";
import { SEVERITIES } from "../../inspect/entry.ts";
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

/** One option of the command line as a condition. */
interface Condition {
  /** The option as it was typed. */
  readonly text: string;
  readonly wanted: readonly string[];
  readonly fits: (volume: ListedVolume) => boolean;
  /** The values of which the option could have chosen, with their plural; undefined for a fixed set. */
  readonly values?: readonly [string, (volume: ListedVolume) => readonly string[]];
}

function conditions({ namespaces, nodes, states, problems }: Selection): Condition[] {
  const all: Condition[] = [
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
  const all = conditions(selection);
  return (volume) => all.every(({ fits }) => fits(volume));
}

/** The selection as its options; "" when it selects every volume. */
export function selectionText(selection: Selection): string {
  return conditions(selection)
    .map(({ text }) => text)
    .join(" ");
}

/** Answers an empty result: how many volumes there are, how many each option selects, and which values exist. */
export function nothingSelected(all: readonly ListedVolume[], selection: Selection): string[] {
  const chosen = conditions(selection);
  const total = all.length === 1 ? "1 volume exists" : `${all.length} volumes exist`;
  const head = `No volume matches ${selectionText(selection)}. ${total}.`;
  const lines = chosen.flatMap(({ text, wanted, fits, values }) => {
    const count = all.filter(fits).length;
    const alone = chosen.length > 1 ? [`${text} alone matches ${count}.`] : [];
    if (count > 0 || values === undefined) return alone;
    const existing = [...new Set(all.flatMap(values[1]))].toSorted();
    const meant = didYouMean(wanted[0] ?? "", existing);
    const question = meant === undefined ? "" : ` Did you mean ${meant}?`;
    return [...alone, `The ${values[0]}: ${some(existing, 10)}.${question}`];
  });
  return [head, ...lines].map(printable);
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

/** The first few names of a list, and how many more there are. */
export function some(names: readonly string[], most: number): string {
  if (names.length === 0) return "none";
  const more = names.length > most ? ` and ${names.length - most} more` : "";
  return `${names.slice(0, most).join(", ")}${more}`;
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);
/** The worst problems first, warnings about foreign disks last, then volumes without a problem. */
function problemRank({ findings, state }: ListedVolume): number {
  const worst = Math.max(0, ...findings.map(({ severity }) => SEVERITIES.indexOf(severity)));
  // Another cluster on the same RDS has many such disks.
  return worst === SEVERITIES.indexOf("warning") && state === "foreign" ? worst - 0.5 : worst;
}

/** Volumes without a claim, a node or a time come last. */
const lastIfMissing = (a: string | undefined, b: string | undefined): number =>
  a === undefined || b === undefined ? Number(a === undefined) - Number(b === undefined) : compare(a, b);

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
