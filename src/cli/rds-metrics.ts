import { Counter, Gauge, Histogram, type Registry } from "prom-client";
import type { Clock } from "../domain/clock.ts";
import type { ErrorId } from "../domain/errors/catalogue.ts";
import { FAILURE_CLASSES, type FailureClass } from "../routeros/failure-class.ts";
import type { CommandOutcome, TransportObserver } from "../routeros/transport/transport.ts";

/** How a RouterOS command ended, as label. `notSent` is no outcome: the command runs again. */
const OUTCOMES: Readonly<Record<CommandOutcome, "ok" | "error" | "unknown" | undefined>> = {
  answered: "ok",
  refused: "error",
  lost: "unknown",
  tooLong: "unknown",
  abandoned: "unknown",
  notSent: undefined,
};

/** Why an SSH connection could not be made, as label; every other error is `unreachable`. */
const CAUSES: Readonly<Partial<Record<ErrorId, string>>> = {
  hostKeyMismatch: "host-key",
  authenticationFailed: "authentication",
  userKeyUnusable: "user-key",
};
export const CONNECT_FAILURE_CAUSES: readonly string[] = ["unreachable", ...Object.values(CAUSES)];

/** Counts the commands of an RDS and its SSH connections; docs/metrics.md describes each series. */
export interface RdsMetrics {
  readonly observer: TransportObserver;
  /** A command that RouterOS answered with an error. */
  onFailure(kind: FailureClass): void;
}

const COMMAND_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** An empty queue costs nothing; callers give up after 15 to 60 s. */
const WAIT_BUCKETS = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60];

/** Registers the series. */
export function createRdsMetrics(registry: Registry, clock: Clock): RdsMetrics {
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
  for (const name of FAILURE_CLASSES) failures.inc({ class: name }, 0);
  for (const cause of CONNECT_FAILURE_CAUSES) connectFailures.inc({ cause }, 0);
  const lastSuccess = new Gauge({
    name: "rds_csi_rds_last_success_timestamp_seconds",
    help: "When the RDS last answered a command, in seconds since the Unix epoch.",
    registers,
  });
  // A gauge without labels starts at 0, which would be 1970.
  lastSuccess.remove();
  const commands = new Counter({
    name: "rds_csi_rds_commands_total",
    help: "RouterOS commands that ended, by purpose and outcome.",
    labelNames: ["purpose", "outcome"],
    registers,
  });
  const duration = new Histogram({
    name: "rds_csi_rds_command_duration_seconds",
    help: "Duration of RouterOS commands in seconds, by purpose.",
    labelNames: ["purpose"],
    buckets: COMMAND_BUCKETS,
    registers,
  });
  const wait = new Histogram({
    name: "rds_csi_rds_queue_wait_seconds",
    help: "Time that RouterOS commands waited for their turn in seconds, by purpose.",
    labelNames: ["purpose"],
    buckets: WAIT_BUCKETS,
    registers,
  });
  const connected = new Gauge({
    name: "rds_csi_rds_connected",
    help: "1 while the SSH connection to the RDS is usable, by purpose.",
    labelNames: ["purpose"],
    registers,
  });
  const reconnects = new Counter({
    name: "rds_csi_rds_reconnects_total",
    help: "SSH connections to the RDS that were made again after a loss, by purpose.",
    labelNames: ["purpose"],
    registers,
  });
  const queueLength = new Gauge({
    name: "rds_csi_rds_queue_length",
    help: "RouterOS commands that wait for their turn, by purpose.",
    labelNames: ["purpose"],
    registers,
  });
  const observer: TransportObserver = {
    onSent: (purpose, waitedSeconds) => wait.observe({ purpose }, waitedSeconds),
    onCommand: (purpose, outcome, seconds) => {
      const label = OUTCOMES[outcome];
      if (label === undefined) return;
      commands.inc({ purpose, outcome: label });
      duration.observe({ purpose }, seconds);
      if (label === "ok") lastSuccess.set(clock.now() / 1_000);
    },
    onConnected: (purpose) => connected.set({ purpose }, 1),
    onConnectFailed: (purpose, _reason, error) => {
      connected.set({ purpose }, 0);
      connectFailures.inc({ cause: CAUSES[error.id] ?? "unreachable" });
    },
    onDisconnected: (purpose) => connected.set({ purpose }, 0),
    onReconnect: (purpose) => reconnects.inc({ purpose }),
    onQueueLength: (purpose, length) => queueLength.set({ purpose }, length),
  };
  return { observer, onFailure: (kind) => failures.inc({ class: kind }) };
}
