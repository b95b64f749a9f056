import type { Clock } from "../../domain/clock.ts";
import type { Metrics } from "../../observability/metrics.ts";
import type { Interceptor } from "../rpc.ts";
import { deadlineInterceptor } from "./deadline.ts";
import { inFlightInterceptor } from "./in-flight.ts";
import type { InFlightRules } from "./in-flight-rules.ts";
import { logInterceptor } from "./log.ts";
import { metricsInterceptor } from "./metrics.ts";
import { sizeLimitInterceptor } from "./size-limits.ts";

/** Settings of the interceptors that every component of the driver uses. */
export interface StandardInterceptorOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Deadline of calls that bring none, seconds; 120 unless given, the kubelet's own limit. */
  readonly defaultDeadlineSeconds?: number;
  /** Other defaults by RPC name, seconds. */
  readonly deadlineSecondsByMethod?: Readonly<Record<string, number>>;
  /** Adds the redacted request to the log line of each call. */
  readonly logRequests?: boolean;
  readonly repeatWindowMs?: number;
  readonly inFlightRules?: InFlightRules;
}

/**
 * The interceptors in their order: metrics and log see the final result; a call that is too big or late never reaches
 * the guard; the guard is innermost, so that a joined call keeps its own log line, deadline and cancellation.
 */
export function standardInterceptors(options: StandardInterceptorOptions): readonly Interceptor[] {
  const { clock } = options;
  return [
    metricsInterceptor(options.metrics, clock),
    logInterceptor({
      clock,
      ...(options.repeatWindowMs === undefined ? {} : { repeatWindowMs: options.repeatWindowMs }),
      ...(options.logRequests === undefined ? {} : { requests: options.logRequests }),
    }),
    deadlineInterceptor({
      clock,
      defaultSeconds: options.defaultDeadlineSeconds ?? 120,
      ...(options.deadlineSecondsByMethod === undefined
        ? {}
        : { secondsByMethod: options.deadlineSecondsByMethod }),
    }),
    sizeLimitInterceptor,
    inFlightInterceptor(options.inFlightRules),
  ];
}
