import { DRIFT_IDS } from "./catalogue.ts";
import { compareAttachments } from "./compare-attachments.ts";
import { compareClaim, compareExistence, compareMode } from "./compare-claim.ts";
import { compareDisk, compareSize } from "./compare-disk.ts";
import { compareExport, compareTold } from "./compare-export.ts";
import { compareMigration } from "./compare-migration.ts";
import type { VolumeDrift } from "./drift.ts";
import type { VolumeFacts } from "./facts.ts";

const SEVERITY = { error: 0, warning: 1, info: 2 } as const;

/**
 * Everything on which what is known about a volume disagrees; the worst first, then in the order of the catalogue, where
 * causes stand before what follows from them. What is unknown agrees with anything.
 */
export function compareVolume(facts: VolumeFacts): VolumeDrift[] {
  const found = [
    compareExistence,
    compareDisk,
    compareSize,
    compareExport,
    compareTold,
    compareAttachments,
    compareClaim,
    compareMode,
    compareMigration,
  ].flatMap((check) => check(facts));
  return found.toSorted(
    (a, b) =>
      SEVERITY[a.severity] - SEVERITY[b.severity] ||
      DRIFT_IDS.indexOf(a.id) - DRIFT_IDS.indexOf(b.id) ||
      (a.node ?? "").localeCompare(b.node ?? "", "en"),
  );
}
