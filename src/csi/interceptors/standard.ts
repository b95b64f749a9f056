import type { Clock } from "../../domain/clock.ts";
import type { Metrics } from "../../observability/metrics.ts";
import type { Interceptor } from "../rpc.ts";
import { deadlineInterceptor } from "./deadline.ts";
import { inFlightInterceptor } from "./in-flight.ts";
import { logInterceptor } from "./log.ts";
import { metricsInterceptor } from "./metrics.ts";
import { sizeLimitInterceptor } from "./size-limits.ts";

/** Settings of the interceptors that every component of the driver uses. */
export interface StandardInterceptorOptions {
  readonly clock: Clock;
  readonly metrics: Metrics;
  /** Deadline of calls that bring none, seconds; 120 unless given, the kubelet's own limit. */
  readonly defaultDeadlineSeconds?: number;
  /** Adds the redacted request to the log line of each call. */
  readonly logRequests?: boolean;
}

/**
 * The interceptors in their order: metrics and log see the final result; a call that is too big or late never reaches
 * the guard; the guard is innermost, so that a joined call keeps its own log line, deadline and cancellation.
 */
export function standardInterceptors(options: StandardInterceptorOptions): readonly Interceptor[] {
  const { clock, metrics, defaultDeadlineSeconds = 120, logRequests = false } = options;
  return [
    metricsInterceptor(metrics, clock),
    logInterceptor({ clock, requests: logRequests }),
    deadlineInterceptor(clock, defaultDeadlineSeconds),
    sizeLimitInterceptor,
    inFlightInterceptor(),
  ];
}
