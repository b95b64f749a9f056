import type { NodeConfig } from "../config/load.ts";
import { nodeService } from "../csi/node.ts";
import type { DataPath } from "../node/data-path.ts";
import { createNodeService } from "../node/service.ts";
import { createNodeSystem, type NodeSystem } from "../node/system.ts";
import { createConnectMetrics } from "../nvme/connect-metrics.ts";
import { createConnectQueue } from "../nvme/connect-queue.ts";
import { createLoopDataPath } from "../nvme/loop.ts";
import { buildInfo } from "../observability/build-info.ts";
import { createMetrics, type Metrics } from "../observability/metrics.ts";
import type { RunDeps } from "./controller.ts";
import { loggerFor } from "./logging.ts";
import { serve } from "./serve.ts";

/** How often the reasons against readiness are looked at again, milliseconds. */
const READINESS_MS = 30_000;

/** `rds-csi node`: serves until it is told to stop. */
export async function runNode(config: NodeConfig, deps: RunDeps): Promise<void> {
  const logger = deps.logger ?? loggerFor(config, "node");
  const metrics = createMetrics(buildInfo);
  const { nodeId, clusterId, nqnPrefix, maxVolumesPerNode } = config;
  logger.info("starting", { ...buildInfo, nodeId, clusterId, dataPath: config.dataPath });
  const system = createNodeSystem({ logger });
  const dataPath = await dataPathOf(config, system, metrics);
  const service = createNodeService({ system, dataPath, nodeId, clusterId, nqnPrefix, maxVolumesPerNode });

  let reasons: readonly string[] = [];
  const look = async (): Promise<void> => {
    const before = reasons.join("; ");
    reasons = await dataPath.readinessProblems().catch((error: unknown) => [String(error)]);
    const now = reasons.join("; ");
    if (now !== before && now !== "") logger.warn("not ready", { reasons });
    else if (now !== before) logger.info("ready again");
  };
  await look();
  const timer = setInterval(() => void look(), READINESS_MS);

  await serve(
    {
      services: [nodeService(service)],
      notReadyReasons: () => reasons,
      close: async () => clearInterval(timer),
    },
    { config, metrics, logger, stop: deps.stop },
  );
  logger.info("stopped");
}

async function dataPathOf(config: NodeConfig, system: NodeSystem, metrics: Metrics): Promise<DataPath> {
  const { nqnPrefix, stateDir, loopExportsDir, maxConcurrentConnects } = config;
  if (config.dataPath === "loop" && loopExportsDir !== undefined) {
    return createLoopDataPath(system, { exportsDir: loopExportsDir, stateDir, nqnPrefix });
  }
  const { createNvmeTcpDataPath } = await import("../nvme/nvme-tcp.ts");
  const connectQueue = createConnectQueue({ limit: maxConcurrentConnects, clock: system.clock });
  const onConnect = createConnectMetrics(metrics.registry, connectQueue);
  return createNvmeTcpDataPath(system, { nqnPrefix, connectQueue, onConnect });
}
