import type { ClaimRef } from "../kubernetes/port.ts";
import type { NodePair, SingleUserEvidence } from "../migration/decision.ts";
import type { RdsVolume } from "../rds/volume.ts";

/** A live migration as the driver sees it: the second node, attached at `since`, seconds since the Unix epoch. */
export interface MigrationWindow {
  readonly target: string;
  readonly since: number;
}

/** How long KubeVirt lets a migration take, in seconds; 0 = no limit. */
export type AllowedTime =
  | { readonly kind: "known"; readonly seconds: number }
  /** `passing`: Kubernetes did not answer this time; else it will not answer the next time either. */
  | { readonly kind: "unknown"; readonly reason: string; readonly passing: boolean };

/** What the attachment state machine may ask about the world. Throws when it cannot be found out. */
export interface EvidenceSource {
  /** Whether the holder of a volume is confirmed to be gone from this cluster; merely silent nodes are not gone. */
  holderGone(volume: RdsVolume, nodeId: string, signal: AbortSignal): Promise<boolean>;
  /** Whether every workload that uses the volume is one virtual machine that migrates from the holder to the requesting node. */
  singleUser(volume: RdsVolume, pair: NodePair, signal: AbortSignal): Promise<SingleUserEvidence>;
  /** How long KubeVirt lets a migration of the machine that uses the volume take. Throws only when aborted. */
  allowedSeconds(volume: RdsVolume, window: MigrationWindow, signal: AbortSignal): Promise<AllowedTime>;
  /** The claim of the volume's PersistentVolume; undefined also where Kubernetes did not answer. Throws only when aborted. */
  presentClaim?(volume: RdsVolume, signal: AbortSignal): Promise<ClaimRef | undefined>;
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
  allowedSeconds: async () => ({ kind: "known", seconds: DEFAULT_ALLOWED_SECONDS }),
};
