import { linkAbort, orAborted } from "../../domain/abort.ts";
import type { Clock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { Interceptor } from "../rpc.ts";

/** Settings of the deadline interceptor. */
export interface DeadlineOptions {
  readonly clock: Clock;
  /** For calls that bring no deadline, seconds. */
  readonly defaultSeconds: number;
  /** Other defaults by RPC name, seconds. */
  readonly secondsByMethod?: Readonly<Record<string, number>>;
}

/** Timers beyond it fire at once: 24.8 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Gives every call a deadline and keeps it: afterwards the signal is aborted and the caller gets DEADLINE_EXCEEDED,
 * even when the handler hangs. A cancelled call is answered at once for the same reason.
 */
export function deadlineInterceptor(options: DeadlineOptions): Interceptor {
  const { clock } = options;
  return async (call, next) => {
    const { context } = call;
    const started = clock.monotonic();
    const fallback = options.secondsByMethod?.[context.method] ?? options.defaultSeconds;
    const deadlineMs = context.deadlineMs ?? started + fallback * 1_000;
    const controller = new AbortController();
    const unlink = linkAbort(context.signal, controller);
    const timer = new AbortController();
    const budgetMs = Math.max(0, deadlineMs - started);
    clock.sleep(Math.min(budgetMs, LONGEST_TIMER_MS), timer.signal).then(
      () =>
        controller.abort(
          failure("deadlineExceeded", { what: context.method, seconds: Math.round(budgetMs / 100) / 10 }),
        ),
      () => {}, // the timer is not needed any more
    );
    try {
      const inner = { ...call, context: { ...context, signal: controller.signal, deadlineMs } };
      return await orAborted(next(inner), controller.signal);
    } finally {
      timer.abort();
      unlink();
    }
  };
}
