import { type Counter, type Gauge, type Histogram, Registry } from "prom-client";
import type { BuildInfo } from "./build-info.ts";
import { registerProcessMetrics } from "./process-metrics.ts";
import { seriesOf } from "./series.ts";

/** The series of every component; `docs/metrics.md` describes each, and a test compares the two. */
export interface Metrics {
  /** Private, so that tests and several servers in one process do not meet. */
  readonly registry: Registry;
  /** Finished CSI calls. */
  readonly operations: Counter<"method" | "grpc_code">;
  /** Duration of CSI calls in seconds. */
  readonly operationDuration: Histogram<"method">;
  /** CSI calls that run. */
  readonly operationsInFlight: Gauge<"method">;
}

/** From a few milliseconds to the two minutes that kubelet waits. */
const OPERATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** Makes them in a registry of their own, to which each component adds its own. */
export function createMetrics(build: BuildInfo): Metrics {
  const registry = new Registry();
  const { counter, gauge, histogram } = seriesOf(registry);
  registerProcessMetrics(registry);
  const { version, commit } = build;
  gauge("rds_csi_build_info", "Always 1; the labels say what runs.", "version", "commit").set(
    { version, commit },
    1,
  );
  return {
    registry,
    operations: counter(
      "rds_csi_operations_total",
      "CSI calls that ended, by RPC and gRPC status code.",
      "method",
      "grpc_code",
    ),
    operationDuration: histogram(
      "rds_csi_operation_duration_seconds",
      "Duration of CSI calls in seconds, by RPC.",
      OPERATION_BUCKETS,
      "method",
    ),
    operationsInFlight: gauge("rds_csi_operations_in_flight", "CSI calls that run, by RPC.", "method"),
  };
}
