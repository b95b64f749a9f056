/** Limits of a growing pause, in milliseconds. */
export interface BackoffLimits {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * The pause after `failures` failures in a row, in milliseconds: `firstMs`, doubled by each further failure, at most
 * `maxMs`; 0 without a failure.
 */
export function backoff(failures: number, { firstMs, maxMs }: BackoffLimits): number {
  return failures <= 0 ? 0 : Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 30));
}

/**
 * As backoff, but between half of the pause and all of it at random: clients that lost a server together come back one
 * by one.
 * @param random uniform in [0, 1)
 */
export function jitteredBackoff(failures: number, limits: BackoffLimits, random: () => number): number {
  const full = backoff(failures, limits);
  return full / 2 + (full / 2) * random();
}
