import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { BuildInfo } from "./build-info.ts";
import { registerProcessMetrics } from "./process-metrics.ts";

/** What an SSH connection to the RDS is for. */
export type RdsPurpose = "read" | "mutate";

/** How a RouterOS command ended: done, refused by RouterOS, or unknown because the reply was lost or late. */
export type RdsOutcome = "ok" | "error" | "unknown";

/** Every metric of the driver; `docs/metrics.md` describes each, and a test compares the two. */
export interface Metrics {
  /** Private, so that tests and several servers in one process do not meet. */
  readonly registry: Registry;
  /** Finished CSI calls. */
  readonly operations: Counter<"method" | "grpc_code">;
  /** Duration of CSI calls in seconds. */
  readonly operationDuration: Histogram<"method">;
  /** CSI calls that run. */
  readonly operationsInFlight: Gauge<"method">;
  /** RouterOS commands that ended; labels are RdsPurpose and RdsOutcome. */
  readonly rdsCommands: Counter<"purpose" | "outcome">;
  /** Duration of RouterOS commands in seconds, from sending to reply. */
  readonly rdsCommandDuration: Histogram<"purpose">;
  /** 1 while the SSH connection is usable, else 0. */
  readonly rdsConnected: Gauge<"purpose">;
  /** SSH connections made again after a loss. */
  readonly rdsReconnects: Counter<"purpose">;
  /** RouterOS commands that wait for their turn. */
  readonly rdsQueueLength: Gauge<"purpose">;
}

/** From a few milliseconds to the two minutes that kubelet waits. */
const OPERATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];
const COMMAND_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Makes all metrics in a registry of their own. */
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
    rdsCommands: new Counter({
      name: "rds_csi_rds_commands_total",
      help: "RouterOS commands that ended, by purpose and outcome.",
      labelNames: ["purpose", "outcome"],
      registers,
    }),
    rdsCommandDuration: new Histogram({
      name: "rds_csi_rds_command_duration_seconds",
      help: "Duration of RouterOS commands in seconds, by purpose.",
      labelNames: ["purpose"],
      buckets: COMMAND_BUCKETS,
      registers,
    }),
    rdsConnected: new Gauge({
      name: "rds_csi_rds_connected",
      help: "1 while the SSH connection to the RDS is usable, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
    rdsReconnects: new Counter({
      name: "rds_csi_rds_reconnects_total",
      help: "SSH connections to the RDS that were made again after a loss, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
    rdsQueueLength: new Gauge({
      name: "rds_csi_rds_queue_length",
      help: "RouterOS commands that wait for their turn, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
  };
}
