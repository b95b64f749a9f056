import type { Capability } from "../domain/access-mode.ts";

type StringMap = Readonly<Record<string, string>>;

/** Arguments of NodeStageVolume, free of wire types. Presence is checked by the service. */
export interface StageRequest {
  readonly volumeId: string;
  readonly publishContext: StringMap;
  readonly stagingTargetPath: string;
  readonly capability: Capability | undefined;
  readonly volumeContext: StringMap;
  readonly signal: AbortSignal;
}

export interface UnstageRequest {
  readonly volumeId: string;
  readonly stagingTargetPath: string;
  readonly signal: AbortSignal;
}

export interface PublishRequest extends StageRequest {
  readonly targetPath: string;
  readonly readonly: boolean;
}

export interface UnpublishRequest {
  readonly volumeId: string;
  readonly targetPath: string;
  readonly signal: AbortSignal;
}

export interface StatsRequest {
  readonly volumeId: string;
  readonly volumePath: string;
  readonly stagingTargetPath: string;
  readonly signal: AbortSignal;
}

/** Use of a volume; undefined where it cannot be known, as for a block volume's free space. */
export interface Usage {
  readonly unit: "bytes" | "inodes";
  readonly total: bigint | undefined;
  readonly used: bigint | undefined;
  readonly available: bigint | undefined;
}

/** What the CSI Node service needs from the node side; `src/node` implements it. All failures are DriverErrors. */
export interface NodeOperations {
  stage(request: StageRequest): Promise<void>;
  unstage(request: UnstageRequest): Promise<void>;
  publish(request: PublishRequest): Promise<void>;
  unpublish(request: UnpublishRequest): Promise<void>;
  stats(request: StatsRequest): Promise<{ readonly usage: readonly Usage[] }>;
  /** Constant while the process runs. `maxVolumesPerNode` 0 leaves the limit to Kubernetes. */
  info(): { readonly nodeId: string; readonly maxVolumesPerNode: number };
}
