import type { Clock } from "../domain/clock.ts";
import type { ErrorId } from "../domain/errors/catalogue.ts";
import type { ConnectFailureCause, RdsMetrics, RdsOutcome } from "../observability/rds-metrics.ts";
import type { CommandOutcome, TransportObserver } from "../routeros/transport/transport.ts";

/** `notSent` is no outcome: the command runs again. */
const OUTCOMES: Readonly<Record<CommandOutcome, RdsOutcome | undefined>> = {
  answered: "ok",
  refused: "error",
  lost: "unknown",
  tooLong: "unknown",
  abandoned: "unknown",
  notSent: undefined,
};

const CAUSES: Readonly<Partial<Record<ErrorId, ConnectFailureCause>>> = {
  hostKeyMismatch: "host-key",
  authenticationFailed: "authentication",
  userKeyUnusable: "user-key",
};

/** Counts what the SSH transport does. */
export function transportMetrics(metrics: RdsMetrics, clock: Clock): TransportObserver {
  return {
    onSent: (purpose, waitedSeconds) => metrics.wait.observe({ purpose }, waitedSeconds),
    onCommand: (purpose, outcome, seconds) => {
      const label = OUTCOMES[outcome];
      if (label === undefined) return;
      metrics.commands.inc({ purpose, outcome: label });
      metrics.duration.observe({ purpose }, seconds);
      if (label === "ok") metrics.lastSuccess.set(clock.now() / 1_000);
    },
    onConnected: (purpose) => metrics.connected.set({ purpose }, 1),
    onConnectFailed: (purpose, _reason, error) => {
      metrics.connected.set({ purpose }, 0);
      metrics.connectFailures.inc({ cause: CAUSES[error.id] ?? "unreachable" });
    },
    onDisconnected: (purpose) => metrics.connected.set({ purpose }, 0),
    onReconnect: (purpose) => metrics.reconnects.inc({ purpose }),
    onQueueLength: (purpose, length) => metrics.queueLength.set({ purpose }, length),
  };
}
