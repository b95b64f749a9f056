/** The sizes that KubeVirt's limit for a migration depends on. */
export interface MigrationLoad {
  /** Guest memory by the specification, bytes. */
  readonly memoryBytes: bigint;
  /** Disks that a storage migration copies, bytes. */
  readonly volumeBytes: bigint;
}

/** KubeVirt's migration configuration, as far as it is set. */
export interface LimitConfig {
  /** Seconds per decimal GB; 0 means no limit. */
  readonly completionTimeoutPerGiB: number | undefined;
  readonly allowPostCopy: boolean;
  readonly allowWorkloadDisruption: boolean;
}

/** KubeVirt's default since 1.4, seconds per decimal GB; it was 800 before. */
const DEFAULT_SECONDS_PER_GB = 150;
/**
 * KubeVirt's clock starts in the launcher of the source. The driver's starts at the second attachment, before the target pod has pulled its
 * image and started, for which KubeVirt allows 15 minutes. Seconds.
 */
export const START_SLACK_SECONDS = 900;
const GB = 1_000_000_000n;

/**
 * The time that a live migration may take from the second attachment on, in seconds; 0 = no limit. Seconds per GB times the copied decimal
 * GB, rounded up (KubeVirt, virtwrap/live-migration-source.go). Twice that where KubeVirt then pauses the guest; no limit where it goes on
 * by post-copy. A block migration copies ephemeral disks too, but no API shows their size.
 */
export function migrationLimit({ memoryBytes, volumeBytes }: MigrationLoad, config: LimitConfig): number {
  const perGb = config.completionTimeoutPerGiB ?? DEFAULT_SECONDS_PER_GB;
  if (perGb === 0 || config.allowPostCopy) return 0;
  const limit = perGb * Number((memoryBytes + volumeBytes + GB - 1n) / GB);
  return (config.allowWorkloadDisruption ? 2 : 1) * limit + START_SLACK_SECONDS;
}
