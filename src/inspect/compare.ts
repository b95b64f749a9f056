import { VOLUME_FINDING_IDS } from "./catalogue.ts";
import { compareAttachments } from "./compare-attachments.ts";
import { compareClaim, compareMode, comparePv } from "./compare-claim.ts";
import { compareDisk, compareExistence, compareSize } from "./compare-disk.ts";
import { compareExport, comparePublishContext } from "./compare-export.ts";
import { compareMigration } from "./compare-migration.ts";
import { SEVERITIES } from "./entry.ts";
import { ifKnown } from "./fact.ts";
import type { VolumeFacts } from "./facts.ts";
import type { Finding } from "./finding.ts";
import { type VolumeFinding, volumeFinding } from "./volume-finding.ts";

/**
 * Everything on which the facts of a volume disagree; the worst first, then in the order of the catalogue, where causes stand
 * before what follows from them. An unknown fact agrees with anything.
 */
export function compareVolume(facts: VolumeFacts): VolumeFinding[] {
  const found = [
    compareExistence,
    comparePv,
    compareDisk,
    compareSize,
    compareExport,
    comparePublishContext,
    compareAttachments,
    compareClaim,
    compareMode,
    compareMigration,
  ].flatMap((check) => [...check(facts)].map((drift) => volumeFinding(facts, ...drift)));
  return found.toSorted(
    (a, b) =>
      SEVERITIES.indexOf(b.severity) - SEVERITIES.indexOf(a.severity) ||
      VOLUME_FINDING_IDS.indexOf(a.id) - VOLUME_FINDING_IDS.indexOf(b.id) ||
      (a.node ?? "").localeCompare(b.node ?? "", "en"),
  );
}

/**
 * The states of a volume, the worst first. `missing`: the RDS has no disk item for it; `foreign`: the item is no volume of this
 * installation; `broken`: a finding is an error; `copying`: unfinished, a full copy fills it, or on its way into a subvolume.
 */
export const VOLUME_STATES = [
  "missing",
  "broken",
  "migrating",
  "copying",
  "attached",
  "available",
  "foreign",
  "unknown",
] as const;
export type VolumeState = (typeof VOLUME_STATES)[number];

/** The state of a volume, in one word. */
export function stateOf({ rds }: VolumeFacts, findings: readonly Pick<Finding, "severity">[]): VolumeState {
  if (rds.disk.state === "unknown") return "unknown";
  if (rds.disk.state === "absent") return rds.movedBy?.isWhole === true ? "copying" : "missing";
  if (rds.foreign !== undefined) return "foreign";
  if (findings.some(({ severity }) => severity === "error" || severity === "critical")) return "broken";
  const record = ifKnown(rds.record);
  if (record?.migration !== undefined) return "migrating";
  if (record?.copy !== undefined || record?.conversion !== undefined) return "copying";
  return (record?.attachments.length ?? 0) > 0 ? "attached" : "available";
}
