import type { Registry } from "prom-client";
import type { Clock } from "../domain/clock.ts";
import type { ErrorId } from "../domain/errors/catalogue.ts";
import { seriesOf } from "../observability/series.ts";
import { FAILURE_CLASSES, type FailureClass } from "../routeros/failure-class.ts";
import { type CommandOutcome, PURPOSES, type TransportObserver } from "../routeros/transport/transport.ts";

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
  hostKeysUnusable: "host-key",
  authenticationFailed: "authentication",
  userKeyUnusable: "user-key",
};
export const CONNECT_FAILURE_CAUSES: readonly string[] = ["unreachable", ...new Set(Object.values(CAUSES))];

const COMMAND_BUCKETS = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** An empty queue costs nothing; a command is never sent later than after 300 s. */
const WAIT_BUCKETS = [0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/**
 * Counts the commands of an RDS and its SSH connections; docs/metrics.md describes each series. `onFailure` counts a command that
 * RouterOS answered with an error.
 */
export function createRdsMetrics(registry: Registry, clock: Clock) {
  const { counter, counterOf, gauge, histogram } = seriesOf(registry);
  const failures = counterOf(
    "rds_csi_rds_command_failures_total",
    "RouterOS commands that were answered with an error, by class.",
    "class",
    FAILURE_CLASSES,
  );
  const connectFailures = counterOf(
    "rds_csi_rds_connect_failures_total",
    "Attempts to connect to the RDS over SSH that failed, by cause.",
    "cause",
    CONNECT_FAILURE_CAUSES,
  );
  const lastSuccess = gauge(
    "rds_csi_rds_last_success_timestamp_seconds",
    "When the RDS last answered a command, in seconds since the Unix epoch.",
  );
  // A gauge without labels starts at 0, which would be 1970.
  lastSuccess.remove();
  const commands = counter(
    "rds_csi_rds_commands_total",
    "RouterOS commands that ended, by purpose and outcome.",
    "purpose",
    "outcome",
  );
  const duration = histogram(
    "rds_csi_rds_command_duration_seconds",
    "Duration of RouterOS commands in seconds, by purpose.",
    COMMAND_BUCKETS,
    "purpose",
  );
  const wait = histogram(
    "rds_csi_rds_queue_wait_seconds",
    "Time that RouterOS commands waited for their turn in seconds, by purpose.",
    WAIT_BUCKETS,
    "purpose",
  );
  const connected = gauge(
    "rds_csi_rds_connected",
    "1 while the SSH connection to the RDS is usable, by purpose.",
    "purpose",
  );
  const reconnects = counterOf(
    "rds_csi_rds_reconnects_total",
    "SSH connections to the RDS that were made again after a loss, by purpose.",
    "purpose",
    PURPOSES,
  );
  const queueLength = gauge(
    "rds_csi_rds_queue_length",
    "RouterOS commands that wait for their turn, by purpose.",
    "purpose",
  );
  const channels = gauge(
    "rds_csi_rds_channels",
    "RouterOS commands that an SSH connection which is opened now may run at once.",
  );
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
    onChannels: (limit) => channels.set(limit),
  };
  return { observer, onFailure: (kind: FailureClass) => failures.inc({ class: kind }) };
}
