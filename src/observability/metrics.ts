import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { BuildInfo } from "./build-info.ts";
import { registerProcessMetrics } from "./process-metrics.ts";

/** What every component of the driver counts; `docs/metrics.md` describes each, and a test compares the two. */
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
  const registers = [registry];
  registerProcessMetrics(registry);
  new Gauge({
    name: "rds_csi_build_info",
    help: "Always 1; the labels say what runs.",
    labelNames: ["version", "commit"],
    registers,
  }).set({ version: build.version, commit: build.commit }, 1);
  return {
    registry,
    operations: new Counter({
      name: "rds_csi_operations_total",
      help: "CSI calls that ended, by RPC and gRPC status code.",
      labelNames: ["method", "grpc_code"],
      registers,
    }),
    operationDuration: new Histogram({
      name: "rds_csi_operation_duration_seconds",
      help: "Duration of CSI calls in seconds, by RPC.",
      labelNames: ["method"],
      buckets: OPERATION_BUCKETS,
      registers,
    }),
    operationsInFlight: new Gauge({
      name: "rds_csi_operations_in_flight",
      help: "CSI calls that run, by RPC.",
      labelNames: ["method"],
      registers,
    }),
  };
}
