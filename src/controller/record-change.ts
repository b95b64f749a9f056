import { failure } from "../domain/errors/driver-error.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Decision } from "../migration/decision.ts";
import type { Rds } from "../rds/rds.ts";
import { ownVolume, type RdsVolume } from "../rds/volume.ts";
import type { WritePurpose } from "../rds/write-record.ts";
import type { MigrationReporter } from "./migration-reporter.ts";

/** A decision that asks for nothing more. */
export type FinalDecision = Exclude<Decision, { kind: "ask" }>;

/** One change of a volume's record. */
export interface RecordChange {
  readonly id: VolumeId;
  /** The volume as known now; `fresh` if it was read during this call. */
  readonly first: RdsVolume;
  readonly fresh: boolean;
  /** Node that a refusal is about, for the report. */
  readonly node: string;
  readonly signal: AbortSignal;
  /** Whose writes these are; default: of an attachment. */
  readonly purpose?: WritePurpose;
  readonly decide: (volume: RdsVolume) => Promise<FinalDecision>;
  /** Called with each record that is read or written, also when the change fails. */
  readonly seen?: (volume: RdsVolume) => void;
}

/** How often one call decides anew after it lost a race for the record. */
const ATTEMPTS = 6;

/**
 * Applies a decision by compare-and-set, and decides anew whenever another writer was first. An answer that
 * changes nothing, or refuses, is only given on a record that was read during this call.
 * @returns the volume as written; undefined when it does not exist any more
 * @throws recordConflict (ABORTED) after a bounded number of lost races; the decision's refusal
 */
export async function changeRecord(
  rds: Rds,
  reporter: MigrationReporter,
  change: RecordChange,
): Promise<RdsVolume | undefined> {
  const { id, signal, decide } = change;
  let volume: RdsVolume | undefined = change.first;
  let { fresh } = change;
  for (let attempt = 1; attempt <= ATTEMPTS && volume !== undefined; attempt++) {
    if (fresh) {
      reporter.seen(volume);
      change.seen?.(volume);
    }
    const decision = clearReExportMark(volume, await decide(volume));
    const settled = decision.kind === "refuse" || isDone(rds, volume, decision);
    if (settled && fresh) {
      if (decision.kind === "accept") return volume;
      reporter.refused(volume, change.node, decision.error);
      throw decision.error;
    }
    if (!settled && decision.kind === "accept") {
      const result = await rds.write(volume, decision.record, decision.export, signal, change.purpose);
      if (result.kind === "written") {
        reporter.written(result.volume, decision.events);
        change.seen?.(result.volume);
        return result.volume;
      }
      if (result.kind === "absent") return undefined;
    }
    volume = ownVolume(await rds.find(id, signal, change.purpose ?? "attach"));
    fresh = true;
  }
  if (volume === undefined) return undefined;
  throw failure("recordConflict", { volume: id, attempts: ATTEMPTS });
}

/** Removes the mark of an interrupted re-export from a decision that switches the export off for good, or on from off. */
function clearReExportMark(volume: RdsVolume, decision: FinalDecision): FinalDecision {
  if (decision.kind !== "accept" || decision.record.reExportSince === undefined) return decision;
  const startsAnew = decision.export === "keep" && !volume.disk.exported;
  if (decision.export !== "off" && decision.export !== "fresh" && !startsAnew) return decision;
  return { ...decision, record: { ...decision.record, reExportSince: undefined } };
}

function isDone(rds: Rds, volume: RdsVolume, decision: Extract<FinalDecision, { kind: "accept" }>): boolean {
  return decision.record === volume.record && (decision.export === "leave" || rds.exportIsRight(volume));
}
