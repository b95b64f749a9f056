import { type FindingId, findingCatalogue } from "./catalogue/catalogue.ts";
import type { Severity } from "./catalogue/entry.ts";

/** What a finding is about. */
export interface Subject {
  readonly kind:
    | "node"
    | "tool"
    | "address"
    | "rds"
    | "cluster"
    | "volume"
    | "connection"
    | "device"
    | "mount"
    | "check";
  readonly name: string;
}

/** What a check has found, before it is put beside the others. */
export interface Draft {
  readonly id: FindingId;
  readonly subject: Subject;
  /** The volume that it concerns; undefined: the whole node. */
  readonly volume?: string | undefined;
  /** The storage address that it concerns, `192.0.2.1:4420`. */
  readonly address?: string | undefined;
  /** What was seen, one fact each. */
  readonly evidence: readonly string[];
}

/** A finding as it is reported. */
export interface Finding extends Draft {
  readonly severity: Severity;
  readonly title: string;
  readonly remedy: string;
  /** The finding that explains this one; undefined: a cause. */
  readonly causedBy: { readonly id: FindingId; readonly subject: Subject } | undefined;
}

/** Adds what the catalogue says. */
export function findingOf(draft: Draft, causedBy: Draft | undefined): Finding {
  const { severity, title, remedy } = findingCatalogue[draft.id];
  return {
    ...draft,
    severity,
    title,
    remedy,
    causedBy: causedBy === undefined ? undefined : { id: causedBy.id, subject: causedBy.subject },
  };
}
