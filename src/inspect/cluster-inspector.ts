import type { AttachmentFacts, ClaimFacts, EventFacts, PvFacts, StorageClassFacts } from "./facts.ts";

/**
 * What a person wants to know of the cluster beyond what the driver needs. Read anew each time; errors as ClusterReader's:
 * undefined is always the API server's own word.
 */
export interface ClusterInspector {
  /** The PersistentVolumes of this driver. */
  persistentVolumes(signal: AbortSignal): Promise<readonly PvFacts[]>;
  /** The VolumeAttachments of this driver. */
  volumeAttachments(signal: AbortSignal): Promise<readonly AttachmentFacts[]>;
  claim(namespace: string, name: string, signal: AbortSignal): Promise<ClaimFacts | undefined>;
  storageClass(name: string, signal: AbortSignal): Promise<StorageClassFacts | undefined>;
  /** The events on an object of a namespace, in no order. */
  events(namespace: string, kind: string, name: string, signal: AbortSignal): Promise<readonly EventFacts[]>;
}
