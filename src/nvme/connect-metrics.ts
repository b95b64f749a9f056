import type { Registry } from "prom-client";
import { seriesOf } from "../observability/series.ts";
import type { ConnectQueue } from "./connect-queue.ts";

/** How `nvme connect` ended; `existing`: the kernel had the connection already. */
export const CONNECT_OUTCOMES = ["ok", "existing", "failed"] as const;
export type ConnectOutcome = (typeof CONNECT_OUTCOMES)[number];

/**
 * Registers the metrics of a node's NVMe connects; docs/metrics.md describes each.
 * @returns counts one that has ended
 */
export function createConnectMetrics(
  registry: Registry,
  queue: Pick<ConnectQueue, "running" | "waiting">,
): (outcome: ConnectOutcome) => void {
  const { counterOf, measured } = seriesOf(registry);
  const connects = counterOf(
    "rds_csi_nvme_connects_total",
    "nvme connect commands that ended, by outcome.",
    "outcome",
    CONNECT_OUTCOMES,
  );
  measured("rds_csi_nvme_connects_running", "nvme connect commands that run.", () => queue.running);
  measured(
    "rds_csi_nvme_connects_waiting",
    "nvme connect commands that wait for their turn.",
    () => queue.waiting,
  );
  return (outcome) => connects.inc({ outcome });
}
