import { Counter, Gauge, type Registry } from "prom-client";
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
  const registers = [registry];
  const connects = new Counter({
    name: "rds_csi_nvme_connects_total",
    help: "nvme connect commands that ended, by outcome.",
    labelNames: ["outcome"],
    registers,
  });
  // All series exist from the start, so that increase() sees the first one.
  for (const outcome of CONNECT_OUTCOMES) connects.inc({ outcome }, 0);
  new Gauge({
    name: "rds_csi_nvme_connects_running",
    help: "nvme connect commands that run.",
    registers,
    collect() {
      this.set(queue.running);
    },
  });
  new Gauge({
    name: "rds_csi_nvme_connects_waiting",
    help: "nvme connect commands that wait for their turn.",
    registers,
    collect() {
      this.set(queue.waiting);
    },
  });
  return (outcome) => connects.inc({ outcome });
}
