/** Limits of the wait between connection attempts, in milliseconds. */
export interface BackoffOptions {
  readonly firstMs: number;
  readonly maxMs: number;
  /** Limit after a failure that only a person can cure; short, so that a cure is noticed within one call. */
  readonly maxFatalMs: number;
}

export const defaultBackoff: BackoffOptions = { firstMs: 250, maxMs: 30_000, maxFatalMs: 5_000 };

/**
 * The wait before attempt `failures + 1`, in milliseconds: doubled per failure, capped, and between half and all
 * of that at random, so that replicas that lost the RDS together do not come back together.
 * @param failures consecutive failures so far; 0 means no wait
 * @param random uniform in [0, 1)
 */
export function backoffDelay(
  failures: number,
  fatal: boolean,
  options: BackoffOptions,
  random: () => number,
): number {
  if (failures <= 0) return 0;
  const cap = fatal ? Math.min(options.maxFatalMs, options.maxMs) : options.maxMs;
  const full = Math.min(cap, options.firstMs * 2 ** Math.min(failures - 1, 30));
  return full / 2 + (full / 2) * random();
}
