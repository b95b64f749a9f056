import { failure } from "../../domain/errors/driver-error.ts";
import type { Orphan } from "../../inspect/orphan.ts";

/** An orphan, and what a plan does with it; without a plan nothing. */
export interface PlannedOrphan {
  readonly orphan: Orphan;
  readonly action?: "delete" | "keep";
}

/**
 * The plan of a deletion. Without names it deletes the orphans whose record proves whose they are; with names those of the names, also where only the person
 * can say it. None against which something speaks.
 * @throws orphanUnknown: then nothing is deleted
 */
export function deletionPlan(orphans: readonly Orphan[], names: readonly string[]): PlannedOrphan[] {
  const unknown = names.filter((name) => !orphans.some((each) => each.name === name));
  if (unknown.length > 0) throw failure("orphanUnknown", { names: unknown, orphans: orphans.length });
  const chosen = names.length === 0 ? orphans : orphans.filter(({ name }) => names.includes(name));
  return chosen.map((orphan) => {
    const isDeleted = orphan.deletable === "yes" || (orphan.deletable === "named" && names.length > 0);
    return { orphan, action: isDeleted ? "delete" : "keep" };
  });
}
