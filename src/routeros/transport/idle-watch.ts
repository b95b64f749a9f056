import type { Clock } from "../../domain/clock.ts";

/** The command that is asked as a sign of life: it costs nothing and changes nothing. */
export const SIGN_OF_LIFE = ":put 1";

export interface IdleWatch {
  readonly clock: Clock;
  /** Idle time after which a sign of life is asked for, in milliseconds. */
  readonly idleCheckMs: number;
  /** When the latest command ended, on the monotonic clock; undefined while commands run or wait. */
  readonly usedAt: () => number | undefined;
  /** Asks for a sign of life. A rejection means that there was none, and that the connection is being closed. */
  readonly ask: () => Promise<unknown>;
}

/**
 * Asks an idle connection for a sign of life, again and again, until it ends. RouterOS does not answer SSH keepalives, so a command
 * that costs nothing takes their place: a peer that does not answer it loses the connection. A running command has a deadline of its own.
 */
export async function watchIdle(watch: IdleWatch, ended: AbortSignal): Promise<void> {
  const { clock, idleCheckMs, usedAt, ask } = watch;
  while (!ended.aborted) {
    const now = clock.monotonic();
    const left = idleCheckMs - (now - (usedAt() ?? now));
    if (left <= 0) await ask().catch(() => {});
    // After a check that failed the connection is being closed, which may take a moment.
    await clock.sleep(left > 0 ? left : idleCheckMs, ended).catch(() => {});
  }
}
