import type { VolumesConfig } from "../../config/load.ts";
import { attachmentDrift, type Drift, readClusterView } from "../../controller/drift.ts";
import type { ClusterReader } from "../../kubernetes/port.ts";
import type { Logger } from "../../observability/log.ts";
import type { RdsVolume } from "../../rds/volume.ts";
import { openCluster } from "./connect.ts";

/**
 * Where the records and the cluster's VolumeAttachments disagree; nothing without `--orchestrator kubernetes`.
 * @throws what the Kubernetes client throws: a list that silently leaves out what it was asked for would mislead
 */
export async function clusterDrift(
  config: VolumesConfig,
  volumes: readonly RdsVolume[],
  logger: Logger,
  signal: AbortSignal,
): Promise<readonly Drift[]> {
  const kubernetes = await openCluster(config, logger);
  if (kubernetes === undefined) return [];
  try {
    return await driftOf(kubernetes.reader, volumes, signal);
  } finally {
    await kubernetes.close(0);
  }
}

/** The same, of a cluster that is connected. */
export async function driftOf(
  reader: ClusterReader,
  volumes: readonly RdsVolume[],
  signal: AbortSignal,
): Promise<readonly Drift[]> {
  const view = await readClusterView(reader, signal);
  return volumes.flatMap((volume) => attachmentDrift(volume, view));
}
