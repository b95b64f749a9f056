import type { AccessMode, AccessType } from "../domain/access-mode.ts";
import type { DriverError } from "../domain/errors/driver-error.ts";
import type { ExportState, VolumeRecord } from "../domain/record/volume-record.ts";

/** A node asks for the volume (ControllerPublishVolume). */
export interface PublishRequest {
  /** Volume handle, for messages. */
  readonly volume: string;
  readonly node: string;
  /** The node's host NQN. */
  readonly hostNqn: string;
  readonly accessMode: AccessMode;
  readonly accessType: AccessType;
  readonly readonly: boolean;
  /** Filesystem that the node may make, when accessType is mount. */
  readonly filesystem: "ext4" | "xfs" | undefined;
  /** This controller process, for the record. */
  readonly by: string;
}

/** Facts from outside the record. Absent members were not asked for. */
export interface Evidence {
  /** Whether the holder is confirmed to have been a node of this cluster, and its Node object is gone. */
  readonly holderGone?: boolean;
  /** Whether all workloads that use the volume are one VirtualMachineInstance that migrates from the holder to the requesting node. */
  readonly singleUser?: SingleUserEvidence;
  /** The time that KubeVirt allows for the migration, in seconds; 0 = no limit. For `auto` only. */
  readonly allowedSeconds?: number;
}

/** The two nodes that a shared volume would be on. */
export interface NodePair {
  /** Has the volume. */
  readonly holder: string;
  /** Asks for it. */
  readonly requester: string;
}

export type SingleUserEvidence =
  | { readonly kind: "proven" }
  | NotProven
  | { readonly kind: "unknown"; readonly reason: string }
  /** The driver runs without an orchestrator, so the guard is off. */
  | { readonly kind: "unguarded" };

export interface NotProven {
  readonly kind: "not-proven";
  readonly reason: string;
  /** Whether only the detach of the holder is missing: no other workload has to be stopped. */
  readonly waits: boolean;
}

/**
 * An effect of a decision that the record does not show; reported once the record is written. The start of a migration, its passed deadline
 * and its end stand in the record and are reported from there.
 */
export type MigrationEvent =
  /** `migrationGuard: warn` let a second node in without proof. */
  | { readonly type: "GuardOverridden"; readonly node: string; readonly reason: string }
  /** A node that is gone lost its attachment, and finds nothing under its old NQN if it returns. */
  | { readonly type: "VolumeFenced"; readonly node: string }
  | { readonly type: "StaleAttachmentCleared"; readonly node: string; readonly cause: StaleCause }
  /** An expansion switched the export off and on, so that these nodes see the new size, in bytes. */
  | { readonly type: "ReExported"; readonly nodes: readonly string[]; readonly sizeBytes: bigint }
  /** An export that an interrupted expansion or a reboot left off is on again. */
  | { readonly type: "ExportRestored" };

/** The state machine's answer. `ask` names the evidence that it needs to decide. */
export type Decision =
  | {
      readonly kind: "accept";
      readonly record: VolumeRecord;
      readonly export: ExportState;
      readonly events: readonly MigrationEvent[];
    }
  | { readonly kind: "refuse"; readonly error: DriverError }
  | { readonly kind: "ask"; readonly question: keyof Evidence; readonly holder: string };

/** Why an attachment is stale: its node is gone, or the cluster has not asked for it for long. */
export type StaleCause = "node-gone" | "never-asked-for";
