import { Counter, Gauge, Histogram, type Registry } from "prom-client";

/** What an SSH connection to the RDS is for. */
export type RdsPurpose = "read" | "mutate";

/** How a RouterOS command ended: answered, refused by the SSH server, or unknown because the reply was lost or late. */
export type RdsOutcome = "ok" | "error" | "unknown";

/** Why an SSH connection could not be made. */
export const CONNECT_FAILURE_CAUSES = ["unreachable", "host-key", "authentication", "user-key"] as const;
export type ConnectFailureCause = (typeof CONNECT_FAILURE_CAUSES)[number];

/** What a RouterOS error means; docs/metrics.md explains each. */
export const COMMAND_FAILURE_CLASSES = [
  "parse",
  "absent",
  "exists",
  "space",
  "busy",
  "permission",
  "transient",
  "argument",
  "own",
  "other",
] as const;
export type CommandFailureClass = (typeof COMMAND_FAILURE_CLASSES)[number];

/** Metrics of whoever talks to a RDS; docs/metrics.md describes each. */
export interface RdsMetrics {
  /** Finished RouterOS commands. */
  readonly commands: Counter<"purpose" | "outcome">;
  /** Commands that RouterOS answered with an error. */
  readonly failures: Counter<"class">;
  /** Duration of RouterOS commands in seconds, without the wait in the queue. */
  readonly duration: Histogram<"purpose">;
  /** Wait in the queue in seconds. */
  readonly wait: Histogram<"purpose">;
  /** 1 while the SSH connection is usable, else 0. */
  readonly connected: Gauge<"purpose">;
  /** SSH connections made again after a loss. */
  readonly reconnects: Counter<"purpose">;
  readonly connectFailures: Counter<"cause">;
  /** RouterOS commands that wait for their turn. */
  readonly queueLength: Gauge<"purpose">;
  /** Unix time of the last answered command in seconds; no sample before the first. */
  readonly lastSuccess: Gauge;
}

const COMMAND_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** An empty queue costs nothing; callers give up after 15 to 60 s. */
const WAIT_BUCKETS = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Registers them. */
export function createRdsMetrics(registry: Registry): RdsMetrics {
  const registers = [registry];
  const failures = new Counter({
    name: "rds_csi_rds_command_failures_total",
    help: "RouterOS commands that were answered with an error, by class.",
    labelNames: ["class"],
    registers,
  });
  const connectFailures = new Counter({
    name: "rds_csi_rds_connect_failures_total",
    help: "Attempts to connect to the RDS over SSH that failed, by cause.",
    labelNames: ["cause"],
    registers,
  });
  // All series exist from the start, so that increase() sees the first one.
  for (const name of COMMAND_FAILURE_CLASSES) failures.inc({ class: name }, 0);
  for (const cause of CONNECT_FAILURE_CAUSES) connectFailures.inc({ cause }, 0);
  const lastSuccess = new Gauge({
    name: "rds_csi_rds_last_success_timestamp_seconds",
    help: "When the RDS last answered a command, in seconds since the Unix epoch.",
    registers,
  });
  // A gauge without labels starts at 0, which would be 1970.
  lastSuccess.remove();
  return {
    failures,
    connectFailures,
    lastSuccess,
    commands: new Counter({
      name: "rds_csi_rds_commands_total",
      help: "RouterOS commands that ended, by purpose and outcome.",
      labelNames: ["purpose", "outcome"],
      registers,
    }),
    duration: new Histogram({
      name: "rds_csi_rds_command_duration_seconds",
      help: "Duration of RouterOS commands in seconds, by purpose.",
      labelNames: ["purpose"],
      buckets: COMMAND_BUCKETS,
      registers,
    }),
    wait: new Histogram({
      name: "rds_csi_rds_queue_wait_seconds",
      help: "Time that RouterOS commands waited for their turn in seconds, by purpose.",
      labelNames: ["purpose"],
      buckets: WAIT_BUCKETS,
      registers,
    }),
    connected: new Gauge({
      name: "rds_csi_rds_connected",
      help: "1 while the SSH connection to the RDS is usable, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
    reconnects: new Counter({
      name: "rds_csi_rds_reconnects_total",
      help: "SSH connections to the RDS that were made again after a loss, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
    queueLength: new Gauge({
      name: "rds_csi_rds_queue_length",
      help: "RouterOS commands that wait for their turn, by purpose.",
      labelNames: ["purpose"],
      registers,
    }),
  };
}
