import type { Metrics } from "../observability/metrics.ts";
import type { CommandOutcome, TransportObserver } from "../routeros/transport/transport.ts";

/** `notSent` is no outcome: the command runs again. */
const OUTCOMES: Readonly<Record<CommandOutcome, "ok" | "error" | "unknown" | undefined>> = {
  answered: "ok",
  refused: "error",
  lost: "unknown",
  tooLong: "unknown",
  abandoned: "unknown",
  notSent: undefined,
};

/** Counts what the SSH transport does. */
export function transportMetrics(metrics: Metrics): TransportObserver {
  return {
    onCommand: (purpose, outcome, seconds) => {
      const label = OUTCOMES[outcome];
      if (label === undefined) return;
      metrics.rdsCommands.inc({ purpose, outcome: label });
      metrics.rdsCommandDuration.observe({ purpose }, seconds);
    },
    onConnected: (purpose) => metrics.rdsConnected.set({ purpose }, 1),
    onConnectFailed: (purpose) => metrics.rdsConnected.set({ purpose }, 0),
    onDisconnected: (purpose) => metrics.rdsConnected.set({ purpose }, 0),
    onReconnect: (purpose) => metrics.rdsReconnects.inc({ purpose }),
    onQueueLength: (purpose, length) => metrics.rdsQueueLength.set({ purpose }, length),
  };
}
