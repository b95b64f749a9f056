import type { Clock } from "../../domain/clock.ts";
import type { Metrics } from "../../observability/metrics.ts";
import type { Interceptor } from "../rpc.ts";
import { codeNameOf } from "../status.ts";

/** Counts calls by method and code, and measures how long they take and how many run. */
export function metricsInterceptor(
  metrics: Pick<Metrics, "operations" | "operationDuration" | "operationsInFlight">,
  clock: Clock,
): Interceptor {
  return async (call, next) => {
    const { method } = call.context;
    const started = clock.monotonic();
    const finish = (code: string) => {
      metrics.operations.inc({ method, grpc_code: code });
      metrics.operationDuration.observe({ method }, (clock.monotonic() - started) / 1_000);
      metrics.operationsInFlight.dec({ method });
    };
    metrics.operationsInFlight.inc({ method });
    // From the first call on, so that increase() sees the first defect.
    metrics.operations.inc({ method, grpc_code: "INTERNAL" }, 0);
    try {
      const response = await next(call);
      finish("OK");
      return response;
    } catch (error) {
      finish(codeNameOf(error));
      throw error;
    }
  };
}
