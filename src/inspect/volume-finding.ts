import { type VolumeFindingId, volumeCatalogue } from "./catalogue.ts";
import type { RemedyNames, Severity } from "./entry.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";
import { type Finding, findingOf, type Seen, type Subject } from "./finding.ts";

export type VolumeFinding = Finding<VolumeFindingId>;

/** A disagreement: one sentence, and the words of each side. */
export type Drift = readonly [id: VolumeFindingId, text: string, sides: Sides];

type Sides = Pick<Seen, "rds" | "kubernetes" | "node"> & {
  readonly subject?: Subject;
  /** Default: that of the catalogue. */
  readonly severity?: Severity;
};

/** A finding about a volume. */
export function volumeFinding(
  facts: VolumeFacts,
  id: VolumeFindingId,
  text: string,
  { rds, kubernetes, node, subject, severity }: Sides = {},
): VolumeFinding {
  const { handle } = facts;
  // A finding about a pool concerns every volume on it.
  const about = subject === undefined ? { volume: handle } : {};
  const seen = { subject: subject ?? { kind: "volume", name: handle }, ...about, evidence: [text] } as const;
  const sides = { rds, kubernetes, node };
  const found = findingOf(volumeCatalogue, id, { ...seen, ...sides }, namesOf(facts, node, subject));
  return severity === undefined ? found : { ...found, severity };
}

/** The names that remedies mention. */
function namesOf({ handle, rds, cluster }: VolumeFacts, node?: string, subject?: Subject): RemedyNames {
  const pv = ifKnown(cluster.pv);
  const claim = pv?.claim ?? ifKnown(rds.record)?.claim;
  const pods = (ifKnown(cluster.pods) ?? []).filter((pod) => node === undefined || pod.node === node);
  return {
    HANDLE: handle,
    PV: pv?.name ?? ifKnown(rds.record)?.name,
    NAMESPACE: claim?.namespace,
    CLAIM: claim?.name,
    NODE: node,
    POD: pods[0]?.name,
    VM: ifKnown(cluster.machines)?.[0]?.machine.name,
    POOL: subject?.kind === "pool" ? subject.name : undefined,
    FILE: ifKnown(rds.disk)?.filePath || ifKnown(rds.file)?.path,
  };
}
