import type { Clock } from "../../domain/clock.ts";

/** What the watch of an idle connection needs. Durations in milliseconds. */
export interface IdleWatchOptions {
  readonly clock: Clock;
  /** A connection that was idle for so long is asked for a sign of life. */
  readonly idleMs: number;
  /** When the latest command ended, on the monotonic clock; undefined while one runs or waits. */
  idleSince(): number | undefined;
  /** Runs a command that costs nothing, with a deadline of its own; a peer that does not answer loses the connection. */
  check(): Promise<unknown>;
}

/**
 * Asks an idle connection for a sign of life, again and again, until it ends. RouterOS does not answer SSH keepalives, so a
 * command takes their place; while a command runs it is not disturbed, and its own deadline bounds the wait.
 * @param ended aborted when the connection is gone
 */
export async function watchIdle(options: IdleWatchOptions, ended: AbortSignal): Promise<void> {
  const { clock, idleMs } = options;
  while (!ended.aborted) {
    const since = options.idleSince();
    const left = since === undefined ? idleMs : since + idleMs - clock.monotonic();
    if (left <= 0) await options.check().catch(() => {});
    // After a check that failed the connection is being closed; that may take a moment.
    await clock.sleep(left > 0 ? left : idleMs, ended).catch(() => {});
  }
}
