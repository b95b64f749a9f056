import type { Capability } from "../domain/access-mode.ts";
import type { CapacityRange } from "../domain/capacity-range.ts";

/** NodeStageVolume, free of wire types. An empty string or undefined stands for a field that was not set. */
export interface StageRequest {
  readonly volumeId: string;
  readonly publishContext: Readonly<Record<string, string>>;
  readonly stagingTargetPath: string;
  readonly capability: Capability | undefined;
  readonly volumeContext: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** NodeUnstageVolume. */
export interface UnstageRequest {
  readonly volumeId: string;
  readonly stagingTargetPath: string;
  readonly signal?: AbortSignal | undefined;
}

/** NodePublishVolume. */
export interface PublishRequest {
  readonly volumeId: string;
  readonly publishContext: Readonly<Record<string, string>>;
  readonly stagingTargetPath: string;
  readonly targetPath: string;
  readonly capability: Capability | undefined;
  readonly readonly: boolean;
  readonly signal?: AbortSignal | undefined;
}

/** NodeUnpublishVolume. */
export interface UnpublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly signal?: AbortSignal | undefined;
}

/** NodeGetVolumeStats. */
export interface StatsRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  /** Optional; not needed to answer. */
  readonly stagingTargetPath?: string;
  readonly signal?: AbortSignal | undefined;
}

/** NodeExpandVolume. */
export interface ExpandRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  /** undefined: the present size of the device. */
  readonly range: CapacityRange | undefined;
  /** "" if not given: it is optional. */
  readonly stagingTargetPath: string;
  /** Optional: the path shows whether it is a mount or a device node. */
  readonly capability: Capability | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** One VolumeUsage of CSI; `used` and `available` are undefined for block volumes. */
export interface Usage {
  readonly unit: "bytes" | "inodes";
  readonly total: bigint;
  readonly used: bigint | undefined;
  readonly available: bigint | undefined;
}

/** CSI VolumeCondition. */
export interface VolumeCondition {
  readonly abnormal: boolean;
  readonly message: string;
}

export interface VolumeStats {
  /** Empty where reading it could block. */
  readonly usage: readonly Usage[];
  readonly condition: VolumeCondition;
}

export interface NodeInfo {
  readonly nodeId: string;
  /** 0 = no limit. */
  readonly maxVolumesPerNode: number;
}
