import type { SingleUserEvidence } from "../migration/decision.ts";
import type { RdsVolume } from "../rds/volume.ts";

/** What the attachment state machine may ask about the world. Throws when it cannot be found out. */
export interface EvidenceSource {
  /** Whether a node's object is confirmed gone; merely silent nodes are not gone. */
  holderGone(nodeId: string, signal: AbortSignal): Promise<boolean>;
  /** Whether every workload that uses the volume is one virtual machine that runs on the holder. */
  singleUser(volume: RdsVolume, holder: string, signal: AbortSignal): Promise<SingleUserEvidence>;
  /** How long KubeVirt lets a migration of the machine that uses the volume take, in seconds; 0 = no limit. */
  allowedSeconds(volume: RdsVolume, signal: AbortSignal): Promise<number>;
}

/** Allowed time of a migration where nobody can say how large the machine is: seconds. */
const DEFAULT_ALLOWED_SECONDS = 300;

/**
 * Without an orchestrator nobody can prove that a node is gone, so nothing is ever taken over; and nobody can prove
 * that a migration runs, so the guard is off: whoever publishes a ReadWriteMany volume twice is trusted.
 */
export const noOrchestrator: EvidenceSource = {
  holderGone: async () => false,
  singleUser: async () => ({ kind: "unguarded" }),
  allowedSeconds: async () => DEFAULT_ALLOWED_SECONDS,
};
