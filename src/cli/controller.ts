import type { ControllerConfig } from "../config/load.ts";
import { buildInfo } from "../observability/build-info.ts";
import type { Logger } from "../observability/log.ts";
import { loggerFor } from "../observability/logger.ts";
import { createMetrics } from "../observability/metrics.ts";
import { buildController } from "./build-controller.ts";

import { serve } from "./serve.ts";

export interface RunDeps {
  /** Serve until this is aborted. */
  readonly stop: AbortSignal;
  /** Default: as configured, on standard error. */
  readonly logger?: Logger;
}

/** `rds-csi controller`: serves until `stop` is aborted. */
export async function runController(config: ControllerConfig, deps: RunDeps): Promise<void> {
  const logger = deps.logger ?? loggerFor(config, "controller");
  const metrics = createMetrics(buildInfo);
  const { host, port } = config.rds;
  logger.info("starting", {
    ...buildInfo,
    rds: host,
    port,
    orchestrator: config.orchestrator,
    ...(config.clusterId === undefined ? {} : { clusterId: config.clusterId }),
  });
  const component = await buildController(config, { logger, metrics });
  await serve(component, { config, metrics, logger, stop: deps.stop });
  logger.info("stopped");
}
