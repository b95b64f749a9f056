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
  /** `passing`: Kubernetes did not answer this time, and may answer the next time. */
  | { readonly kind: "unknown"; readonly reason: string; readonly passing: boolean };

/** Answers the questions of the attachment state machine. Throws when the answer is unknown. */
export interface EvidenceSource {
  /** Whether the holder of a volume is confirmed gone from this cluster. A silent node is not gone. */
  holderGone(volume: RdsVolume, nodeId: string, signal: AbortSignal): Promise<boolean>;
  /** Whether every workload that uses the volume is one VirtualMachineInstance that migrates from the holder to the requesting node. */
  singleUser(volume: RdsVolume, pair: NodePair, signal: AbortSignal): Promise<SingleUserEvidence>;
  /** The time that KubeVirt allows for a migration of the VirtualMachineInstance that uses the volume. Throws only when aborted. */
  allowedSeconds(volume: RdsVolume, window: MigrationWindow, signal: AbortSignal): Promise<AllowedTime>;
  /** The claim of the volume's PersistentVolume; undefined also where Kubernetes did not answer. Throws only when aborted. */
  presentClaim?(volume: RdsVolume, signal: AbortSignal): Promise<ClaimRef | undefined>;
}

/** Allowed time of a migration without an orchestrator, seconds. */
const DEFAULT_ALLOWED_SECONDS = 300;

/**
 * Evidence without an orchestrator. No node is ever proven gone, so no volume is taken over. No migration is ever proven, so the
 * guard is off: the caller that publishes a ReadWriteMany volume to two nodes is trusted.
 */
export const noOrchestrator: EvidenceSource = {
  holderGone: async () => false,
  singleUser: async () => ({ kind: "unguarded" }),
  allowedSeconds: async () => ({ kind: "known", seconds: DEFAULT_ALLOWED_SECONDS }),
};
