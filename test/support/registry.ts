import type { Registry } from "prom-client";
import { createRdsMetrics } from "../../src/cli/rds-metrics.ts";
import { FindingsWatch } from "../../src/controller/findings-watch.ts";
import { createMigrationMetrics } from "../../src/controller/migration-metrics.ts";
import { OrphanWatch } from "../../src/controller/orphan-watch.ts";
import { createSpaceMetrics } from "../../src/controller/space-watch.ts";
import { systemClock } from "../../src/domain/clock.ts";
import { createNodeMetrics } from "../../src/node/health/node-metrics.ts";
import { createConnectMetrics } from "../../src/nvme/connect-metrics.ts";
import { silentLogger } from "../../src/observability/log.ts";
import { createMetrics } from "../../src/observability/metrics.ts";
import type { Mode } from "./metrics-page.ts";

/** Everything that a mode registers. Nothing is known yet. */
export function registryOf(mode: Mode): Registry {
  const { registry } = createMetrics({ version: "1.2.3", commit: "abc" });
  if (mode === "controller") {
    createRdsMetrics(registry, systemClock);
    createMigrationMetrics(registry, () => undefined);
    createSpaceMetrics(registry, () => undefined);
    const health = { survey: () => Promise.reject(new Error("never called")) };
    new FindingsWatch({ health, registry, clock: systemClock, logger: silentLogger });
    const nowhere = { rds: {} as never, layout: { pool: "p", directory: "d" }, clusterId: "c" };
    new OrphanWatch({ ...nowhere, cluster: undefined, registry, clock: systemClock, logger: silentLogger });
  } else {
    createConnectMetrics(registry, { running: 0, waiting: 0 });
    createNodeMetrics(registry, systemClock);
  }
  return registry;
}
