import { linkAbort, orAborted } from "../../domain/abort.ts";
import type { Clock } from "../../domain/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import type { Interceptor } from "../rpc.ts";

/** Timers beyond it fire at once: 24.8 days. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Gives every call a deadline and keeps it: afterwards the signal is aborted and the caller gets DEADLINE_EXCEEDED,
 * even when the handler hangs. A cancelled call is answered at once for the same reason.
 * @param defaultSeconds for calls that bring no deadline
 */
export function deadlineInterceptor(clock: Clock, defaultSeconds: number): Interceptor {
  return async (call, next) => {
    const { context } = call;
    const started = clock.monotonic();
    const deadlineMs = context.deadlineMs ?? started + defaultSeconds * 1_000;
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
