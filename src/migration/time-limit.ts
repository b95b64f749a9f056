/** What KubeVirt's own limit for a migration depends on. */
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
 * KubeVirt's clock starts inside the source's launcher; the driver's at the second attachment, before the target's image is pulled and
 * its pod has started, for which KubeVirt allows 15 minutes. Seconds.
 */
export const START_SLACK_SECONDS = 900;
const GB = 1_000_000_000n;

/**
 * How long a live migration may take from the second attachment on, in seconds; 0 = no limit. Seconds per GB times what is copied in
 * decimal GB, rounded up (KubeVirt, virtwrap/live-migration-source.go); twice where KubeVirt then pauses the guest instead of giving up;
 * none where it goes on by post-copy. Ephemeral disks of a block migration are copied too, but no API tells their size.
 */
export function migrationLimit({ memoryBytes, volumeBytes }: MigrationLoad, config: LimitConfig): number {
  const perGb = config.completionTimeoutPerGiB ?? DEFAULT_SECONDS_PER_GB;
  if (perGb === 0 || config.allowPostCopy) return 0;
  const limit = perGb * Number((memoryBytes + volumeBytes + GB - 1n) / GB);
  return (config.allowWorkloadDisruption ? 2 : 1) * limit + START_SLACK_SECONDS;
}
