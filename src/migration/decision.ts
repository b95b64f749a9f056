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
}

/** What is known about the world outside the record. Absent members were not asked for. */
export interface Evidence {
  /** Whether the Node object of the present holder is confirmed to be gone. */
  readonly holderGone?: boolean;
  /** Whether all workloads that use the volume are one virtual machine. */
  readonly singleUser?: SingleUserEvidence;
}

export type SingleUserEvidence =
  | { readonly kind: "proven" }
  | { readonly kind: "not-proven"; readonly reason: string }
  | { readonly kind: "unknown"; readonly reason: string };

/** What happened to a migration; reported as event and metric by the caller once the record is written. */
export type MigrationEvent =
  | { readonly type: "MigrationStarted"; readonly from: string; readonly to: string }
  | { readonly type: "MigrationCompleted"; readonly to: string; readonly seconds: number }
  | { readonly type: "MigrationFailed"; readonly stayed: string | undefined; readonly seconds: number };

/** The state machine's answer. `ask` names what must be found out before it can decide. */
export type Decision =
  | {
      readonly kind: "accept";
      readonly record: VolumeRecord;
      readonly export: ExportState;
      readonly events: readonly MigrationEvent[];
    }
  | { readonly kind: "refuse"; readonly error: DriverError }
  | { readonly kind: "ask"; readonly question: keyof Evidence; readonly holder: string };
