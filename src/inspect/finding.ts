import { withoutStop } from "../domain/sentence.ts";
import type { Aspect, FindingEntry, Severity } from "./entry.ts";
import { type RemedyNames, remedyFor } from "./entry.ts";

export const SUBJECT_KINDS = [
  "node",
  "tool",
  "address",
  "rds",
  "cluster",
  "pool",
  "volume",
  "connection",
  "device",
  "mount",
  "check",
] as const;

/** The thing that a finding is about. */
export interface Subject {
  readonly kind: (typeof SUBJECT_KINDS)[number];
  readonly name: string;
}

/** What a check has seen. */
export interface Seen {
  readonly subject: Subject;
  /** Handle of the volume that it concerns; undefined: no single one. */
  readonly volume?: string | undefined;
  /** The node that it concerns, if it is about one. */
  readonly node?: string | undefined;
  /** The storage address that it concerns, `192.0.2.1:4420`. */
  readonly address?: string | undefined;
  /** One fact each, without a full stop. */
  readonly evidence: readonly string[];
  /** The RDS's side of a disagreement. */
  readonly rds?: string | undefined;
  /** The cluster's side of a disagreement. */
  readonly kubernetes?: string | undefined;
}

/** One thing that is wrong. */
export interface Finding<Id extends string = string> extends Seen {
  /** Stable; a key of a catalogue. */
  readonly id: Id;
  readonly severity: Severity;
  readonly title: string;
  readonly about: Aspect | undefined;
  readonly remedy: string;
}

/** The finding `id` of a catalogue. @param names for the remedy */
export function findingOf<Id extends string>(
  catalogue: Readonly<Record<Id, FindingEntry>>,
  id: Id,
  seen: Seen,
  names: RemedyNames = {},
): Finding<Id> {
  const { severity, title, about } = catalogue[id];
  const evidence = seen.evidence.map(withoutStop);
  return { ...seen, evidence, id, severity, title, about, remedy: remedyFor(catalogue[id], names) };
}

/** The evidence as one sentence, without a full stop. */
export function sentenceOf({ evidence }: Pick<Seen, "evidence">): string {
  return evidence.join("; ");
}

/** Whether a person has to do something. */
export function isProblem({ severity }: Pick<Finding, "severity">): boolean {
  return severity !== "info";
}

const UNITS = ["", "Ki", "Mi", "Gi", "Ti", "Pi"] as const;

/** Bytes without rounding: `10Gi`, `1536Mi`, else the number of bytes. */
export function exactSize(bytes: bigint): string {
  let unit = 0;
  while (unit < UNITS.length - 1 && bytes > 0n && bytes % (1n << BigInt(10 * (unit + 1))) === 0n) unit += 1;
  return unit === 0 ? `${bytes} bytes` : `${bytes >> BigInt(10 * unit)}${UNITS[unit]}`;
}

/** A list in a sentence. */
export function listed(values: readonly string[], none = "none"): string {
  return values.length === 0 ? none : values.join(", ");
}
