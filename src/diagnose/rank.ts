import { SEVERITIES, type Severity } from "../inspect/entry.ts";
import { type Finding, findingOf, type Seen, type Subject } from "../inspect/finding.ts";
import { FINDING_IDS, type FindingId, findingCatalogue } from "./catalogue/catalogue.ts";

/** What a check has found, before it is put beside the others. */
export interface Draft extends Seen {
  readonly id: FindingId;
}

/** The draft of a check that looks at one thing. */
export function draftIf(
  is: boolean,
  id: FindingId,
  subject: Subject,
  ...evidence: readonly string[]
): readonly Draft[] {
  return is ? [{ id, subject, evidence }] : [];
}

/** The draft of a check that looks at one volume. */
export function volumeDraft(handle: string, id: FindingId, ...evidence: readonly string[]): Draft {
  return { id, subject: { kind: "volume", name: handle }, volume: handle, evidence };
}

/** A finding among the others. */
export interface RankedFinding extends Finding<FindingId> {
  /** The finding that explains this one; undefined: a cause. */
  readonly causedBy: { readonly id: FindingId; readonly subject: Subject } | undefined;
}

/** The finding of a draft. A finding about a volume has its remedy with names already. */
function ranked(draft: Draft | Finding<FindingId>, cause: Draft | undefined): RankedFinding {
  const finding = "severity" in draft ? draft : findingOf(findingCatalogue, draft.id, draft);
  return { ...finding, causedBy: cause && { id: cause.id, subject: cause.subject } };
}

const rankOf = new Map(FINDING_IDS.map((id, index) => [id, index]));
const weight = (severity: Severity): number => SEVERITIES.indexOf(severity);
const rank = ({ id }: Pick<Draft, "id">): number => rankOf.get(id) ?? 0;

/** Whether `cause` explains `effect`: the catalogue says so, and they do not concern different volumes or addresses. */
function explains(cause: Draft, effect: Draft): boolean {
  return (
    cause !== effect &&
    findingCatalogue[cause.id].explains.includes(effect.id) &&
    (cause.volume === undefined || effect.volume === undefined || cause.volume === effect.volume) &&
    (cause.address === undefined || effect.address === undefined || cause.address === effect.address)
  );
}

/**
 * Orders findings so that the true cause is the first one: each is either a cause, or is explained by the cause that lies
 * farthest upstream (catalogue order). A cause is followed by what it explains; among causes, the one whose worst
 * consequence is the most severe comes first.
 */
export function rankFindings(drafts: readonly (Draft | Finding<FindingId>)[]): readonly RankedFinding[] {
  const causeOf = (draft: Draft): Draft | undefined =>
    drafts.filter((other) => explains(other, draft)).toSorted((a, b) => rank(a) - rank(b))[0];
  const findings = drafts.map((draft) => ({ draft, finding: ranked(draft, causeOf(draft)) }));
  // Catalogue order makes chains of causes end: a cause is always upstream of what it explains.
  const rootOf = (draft: Draft): Draft => {
    const cause = causeOf(draft);
    return cause === undefined || rank(cause) >= rank(draft) ? draft : rootOf(cause);
  };
  const groups = new Map<Draft, RankedFinding[]>();
  for (const { draft, finding } of findings) {
    const root = rootOf(draft);
    groups.set(root, [...(groups.get(root) ?? []), finding]);
  }
  const within = (a: RankedFinding, b: RankedFinding): number =>
    Number(a.causedBy !== undefined) - Number(b.causedBy !== undefined) ||
    weight(b.severity) - weight(a.severity) ||
    rank(a) - rank(b) ||
    (a.subject.name < b.subject.name ? -1 : 1);
  const worst = (group: readonly RankedFinding[]): number =>
    Math.max(...group.map(({ severity }) => weight(severity)));
  return [...groups.entries()]
    .map(([root, group]) => ({ root, group: group.toSorted(within) }))
    .toSorted(
      (a, b) =>
        worst(b.group) - worst(a.group) ||
        rank(a.root) - rank(b.root) ||
        (a.root.subject.name < b.root.subject.name ? -1 : 1),
    )
    .flatMap(({ group }) => group);
}

/** The worst severity; undefined if there is no finding. */
export function worstOf(findings: readonly Pick<Finding, "severity">[]): Severity | undefined {
  return findings.map(({ severity }) => severity).toSorted((a, b) => weight(b) - weight(a))[0];
}
