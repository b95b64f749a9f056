import type { Capability } from "../domain/access-mode.ts";
import type { CapacityRange } from "../domain/capacity-range.ts";
import type { VolumeCondition } from "../inspect/health.ts";

/** A call for one volume, free of wire types. An empty string or undefined stands for a field that was not set. */
interface VolumeRequest {
  readonly volumeId: string;
  readonly signal?: AbortSignal | undefined;
}

/** NodeStageVolume. */
export interface StageRequest extends VolumeRequest {
  readonly publishContext: Readonly<Record<string, string>>;
  readonly stagingTargetPath: string;
  readonly capability: Capability | undefined;
  readonly volumeContext: Readonly<Record<string, string>>;
}

/** NodeUnstageVolume; without a signal, see unstage(). */
export interface UnstageRequest extends Omit<VolumeRequest, "signal"> {
  readonly stagingTargetPath: string;
}

/** NodePublishVolume. */
export interface PublishRequest extends Omit<StageRequest, "volumeContext"> {
  readonly targetPath: string;
  readonly readonly: boolean;
}

/** NodeUnpublishVolume. */
export interface UnpublishRequest extends VolumeRequest {
  readonly targetPath: string;
}

/** NodeGetVolumeStats. */
export interface StatsRequest extends VolumeRequest {
  readonly volumePath: string;
  /** Optional; not needed to answer. */
  readonly stagingTargetPath?: string;
}

/** NodeGetVolumeHealth. */
export interface HealthRequest extends VolumeRequest {
  /** "" if not given, as for a volume whose staging failed. */
  readonly volumePublishPath: string;
  /** "" if not given. */
  readonly stagingTargetPath: string;
}

/** NodeExpandVolume. */
export interface ExpandRequest extends VolumeRequest {
  readonly volumePath: string;
  /** undefined: the present size of the device. */
  readonly range: CapacityRange | undefined;
  /** "" if not given: it is optional. */
  readonly stagingTargetPath: string;
  /** Optional: the path shows whether it is a mount or a device node. */
  readonly capability: Capability | undefined;
}

/** One VolumeUsage of CSI; `used` and `available` are undefined for block volumes. */
export interface Usage {
  readonly unit: "bytes" | "inodes";
  readonly total: bigint;
  readonly used: bigint | undefined;
  readonly available: bigint | undefined;
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
