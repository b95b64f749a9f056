import { printable } from "../../domain/printable.ts";
import { SEVERITIES } from "../../inspect/entry.ts";
import { type Finding, sentenceOf } from "../../inspect/finding.ts";
import { some } from "../conditions.ts";
import { problemsOf } from "./listed.ts";
import { claimOf, hasProblem, type ListedVolume } from "./model.ts";
import { COLOUR, MARK, wrap } from "./show-text.ts";
import { cutClaim, cutEnd, painted, type Screen } from "./text.ts";

/** A fault, and the volumes that have it. */
export interface Problem {
  readonly finding: Finding;
  /** A claim, or a handle where no claim tells the volume from the others. */
  readonly names: readonly string[];
}

/** The problems of volumes: the worst first, then what concerns most volumes. Volumes with the same fault share a problem. */
export function sharedProblems(volumes: readonly ListedVolume[]): Problem[] {
  const claims = volumes.map(claimOf);
  const seen = new Set<string | undefined>();
  const repeated = new Set(claims.filter((claim) => seen.size === seen.add(claim).size));
  const groups = new Map<string, { finding: Finding; names: string[] }>();
  for (const [index, volume] of volumes.entries()) {
    const claim = claims[index];
    const name = claim === undefined || repeated.has(claim) ? volume.handle : claim;
    for (const finding of problemsOf(volume)) {
      const key = JSON.stringify([finding.id, finding.evidence]);
      const group = groups.get(key) ?? { finding, names: [] };
      if (!group.names.includes(name)) group.names.push(name);
      groups.set(key, group);
    }
  }
  const rank = ({ finding }: Problem): number => SEVERITIES.indexOf(finding.severity);
  return [...groups.values()].toSorted((a, b) => rank(b) - rank(a) || b.names.length - a.names.length);
}

export interface ProblemOptions extends Screen {
  /** Cut to one line. */
  readonly brief?: boolean;
}

/** Columns that a name gets among others. */
const SHORT_NAME = 28;
/** Volumes that a shared problem names. */
const MOST_NAMED = 3;

/** A problem as `mark id: volume: text`, wrapped. */
export function problemLines({ finding, names }: Problem, options: ProblemOptions): string[] {
  const { width, colour, brief = false } = options;
  const { id, severity } = finding;
  const text = sentenceOf(finding);
  const short = width === undefined ? names : names.map((name) => cutClaim(name, SHORT_NAME));
  const said =
    names.length === 1
      ? `${id}: ${brief ? short[0] : names[0]}: ${text}`
      : `${id}: ${names.length} volumes: ${text}: ${some(short, MOST_NAMED)}`;
  const room = width === undefined ? Number.POSITIVE_INFINITY : Math.max(20, width - 3);
  const lines = brief ? [cutEnd(printable(said), room)] : wrap(printable(said), room);
  const mark = painted(MARK[severity], COLOUR[severity], colour);
  return lines.map((line, index) => `${index === 0 ? mark : "  "} ${line}`);
}

/** The counts of a list, without a full stop: `40 of 500 volumes (-n vms), 3 with problems`. */
export function countsText(shown: readonly ListedVolume[], total: number, selection: string): string {
  const count = selection === "" ? `${total}` : `${shown.length} of ${total}`;
  const chosen = selection === "" ? "" : ` (${printable(selection)})`;
  const bad = shown.filter(hasProblem).length;
  const problems = bad === 0 ? "none with a problem" : `${bad} with problems`;
  return `${count} volume${total === 1 ? "" : "s"}${chosen}, ${problems}`;
}
