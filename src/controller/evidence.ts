import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { SingleUserEvidence } from "../migration/decision.ts";

/** What the attachment state machine may ask about the world. Throws when it cannot be found out. */
export interface EvidenceSource {
  /** Whether a node's object is confirmed gone; merely silent nodes are not gone. */
  holderGone(nodeId: string, signal: AbortSignal): Promise<boolean>;
  /** Whether every workload that uses the volume is one virtual machine. */
  singleUser(record: VolumeRecord, signal: AbortSignal): Promise<SingleUserEvidence>;
}

/**
 * Without an orchestrator nobody can prove that a node is gone or that a migration runs, so nothing is ever
 * taken over and no second node is attached.
 */
export const noOrchestrator: EvidenceSource = {
  holderGone: async () => false,
  singleUser: async () => ({
    kind: "not-proven",
    reason: "the driver runs without an orchestrator that could prove it",
  }),
};
