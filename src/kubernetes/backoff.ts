/** Limits of a growing wait, in milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The wait after `failures` failures in a row, in milliseconds: doubled per failure, capped, and between half and all
 * of that at random, so that replicas that lost the API server together do not come back together.
 * @param random uniform in [0, 1)
 */
export function jitteredBackoff(failures: number, limits: BackoffLimits, random: () => number): number {
  if (failures <= 0) return 0;
  const full = Math.min(limits.maxMs, limits.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
