import type { Registry } from "prom-client";
import type { Clock } from "../../domain/clock.ts";
import type { ErrorId } from "../../domain/errors/catalogue.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { LastKnown } from "../../domain/last-known.ts";
import { type Connection, isLive } from "../../host/data-path.ts";
import { type ConditionCause, NODE_RATINGS } from "../../inspect/health.ts";
import { seriesOf } from "../../observability/series.ts";
import type { SeenVolume } from "./health-watch.ts";

/** After so long without a look at the volumes of the node nothing is shown of them. Milliseconds. */
export const SURVEY_MAX_AGE_MS = 120_000;

/** Why NodeUnstageVolume left a volume connected. */
export const UNSTAGE_REFUSAL_CAUSES = ["in-use", "unmount-failed", "not-proven", "unknown"] as const;
export type UnstageRefusalCause = (typeof UNSTAGE_REFUSAL_CAUSES)[number];

const CAUSES: Readonly<Partial<Record<ErrorId, UnstageRefusalCause>>> = {
  deviceInUse: "in-use",
  unmountFailed: "unmount-failed",
  disconnectNotProven: "not-proven",
  nodeStateUnknown: "unknown",
};

/** States of a connection in the metric; the kernel's words. Others are `other`. */
export const CONNECTION_STATES = [
  "live",
  "connecting",
  "resetting",
  "new",
  "deleting",
  "dead",
  "other",
] as const;
type ConnectionState = (typeof CONNECTION_STATES)[number];

/** Metrics of the volumes of one node; docs/metrics.md describes each. */
export interface NodeMetrics {
  /** The node has looked at its connections. */
  connected(connections: readonly Pick<Connection, "nqn" | "state">[]): void;
  /** The node has looked at its volumes. */
  surveyed(seen: readonly SeenVolume[]): void;
  /** NodeUnstageVolume failed. */
  unstageFailed(error: unknown): void;
}

/** Registers them. */
export function createNodeMetrics(registry: Registry, clock: Clock): NodeMetrics {
  const { knownBy, counter, counterOf } = seriesOf(registry);
  const volumes = new LastKnown<readonly SeenVolume[]>(clock, SURVEY_MAX_AGE_MS);
  const connections = new LastKnown<ReadonlyMap<string, ConnectionState>>(clock, SURVEY_MAX_AGE_MS);
  knownBy(
    "rds_csi_node_volumes",
    "Volumes that are connected to this node, by condition, as of its last look.",
    "condition",
    () => {
      const seen = volumes.get();
      if (seen === undefined) return undefined;
      const abnormal = seen.filter(([, conditions]) => conditions.length > 0).length;
      return [
        ["normal", seen.length - abnormal],
        ["abnormal", abnormal],
      ];
    },
  );
  knownBy(
    "rds_csi_node_volume_conditions",
    "Volumes of this node that are abnormal for a cause, as of its last look.",
    "cause",
    () => {
      const seen = volumes.get();
      return (
        seen &&
        CAUSES_OF_CONDITIONS.map((cause) => [cause, seen.filter((each) => hasCause(each, cause)).length])
      );
    },
  );
  knownBy(
    "rds_csi_node_connections",
    "NVMe connections of this node to volumes, by state, as of its last look.",
    "state",
    () => {
      const states = connections.get();
      if (states === undefined) return undefined;
      const all = [...states.values()];
      return CONNECTION_STATES.map((state) => [state, all.filter((each) => each === state).length]);
    },
  );
  const recovered = counter(
    "rds_csi_node_connection_recoveries_total",
    "NVMe connections that were live again at a look, and were not at the look before.",
  );
  const refusals = counterOf(
    "rds_csi_node_unstage_refusals_total",
    "NodeUnstageVolume calls that left the volume connected, by cause.",
    "cause",
    UNSTAGE_REFUSAL_CAUSES,
  );
  return {
    connected: (found) => {
      const before = connections.get();
      const now = new Map(found.map(({ nqn, state }) => [nqn, connectionState(state)]));
      for (const [nqn, state] of now)
        if (state === "live" && (before?.get(nqn) ?? "live") !== "live") recovered.inc();
      connections.set(now);
    },
    surveyed: (seen) => volumes.set(seen),
    unstageFailed: (error) => {
      const cause = error instanceof DriverError ? CAUSES[error.id] : undefined;
      if (cause !== undefined) refusals.inc({ cause });
    },
  };
}

const CAUSES_OF_CONDITIONS = Object.keys(NODE_RATINGS) as readonly ConditionCause[];

function hasCause([, conditions]: SeenVolume, cause: ConditionCause): boolean {
  return conditions.some((each) => each.cause === cause);
}

/** Of a connection with several controllers: live if one is. */
function connectionState(state: string): ConnectionState {
  if (isLive({ state })) return "live";
  const [first = ""] = state.split(/[, ]/);
  return CONNECTION_STATES.find((each) => each === first) ?? "other";
}
