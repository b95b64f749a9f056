import { Gauge, type Registry } from "prom-client";
import type { Clock } from "../../domain/clock.ts";
import type { ErrorId } from "../../domain/errors/catalogue.ts";
import { DriverError } from "../../domain/errors/driver-error.ts";
import { LastKnown } from "../../domain/last-known.ts";
import { seriesOf } from "../../observability/series.ts";

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

/** Metrics of the volumes of one node; docs/metrics.md describes each. */
export interface NodeMetrics {
  /** The node has looked at its volumes. */
  surveyed(volumes: number, abnormal: number): void;
  /** NodeUnstageVolume failed. */
  unstageFailed(error: unknown): void;
}

/** Registers them. */
export function createNodeMetrics(registry: Registry, clock: Clock): NodeMetrics {
  const registers = [registry];
  const last = new LastKnown<{ readonly normal: number; readonly abnormal: number }>(
    clock,
    SURVEY_MAX_AGE_MS,
  );
  new Gauge({
    name: "rds_csi_node_volumes",
    help: "Volumes that are connected to this node, by condition, as of its last look.",
    labelNames: ["condition"],
    registers,
    collect() {
      const counts = last.get();
      if (counts === undefined) return this.reset();
      this.set({ condition: "normal" }, counts.normal);
      this.set({ condition: "abnormal" }, counts.abnormal);
    },
  });
  const refusals = seriesOf(registry).counterOf(
    "rds_csi_node_unstage_refusals_total",
    "NodeUnstageVolume calls that left the volume connected, by cause.",
    "cause",
    UNSTAGE_REFUSAL_CAUSES,
  );
  return {
    surveyed: (volumes, abnormal) => last.set({ normal: volumes - abnormal, abnormal }),
    unstageFailed: (error) => {
      const cause = error instanceof DriverError ? CAUSES[error.id] : undefined;
      if (cause !== undefined) refusals.inc({ cause });
    },
  };
}
