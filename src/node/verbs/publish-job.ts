import type { VolumeId } from "../../domain/volume-id.ts";
import type { BlockDevice } from "../../host/data-path.ts";

/** A checked NodePublishVolume. Paths are canonical. */
export interface PublishJob {
  readonly volume: VolumeId;
  readonly device: BlockDevice;
  readonly staging: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** The access mode allows one target path on the node. */
  readonly singleTarget: boolean;
  readonly signal: AbortSignal | undefined;
}
