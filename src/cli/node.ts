import type { NodeConfig } from "../config/load.ts";
import { nodeService } from "../csi/node.ts";
import type { DataPath } from "../host/data-path.ts";
import { createNodeSystem, type NodeSystem } from "../host/system.ts";
import { createHealthWatch } from "../node/health/health-watch.ts";
import { createNodeMetrics } from "../node/health/node-metrics.ts";
import { createNodeService } from "../node/service.ts";
import { removeStartupTaint } from "../node/startup-taint.ts";
import { createConnectMetrics } from "../nvme/connect-metrics.ts";
import { createConnectQueue } from "../nvme/connect-queue.ts";
import { createLoopDataPath } from "../nvme/loop.ts";
import { buildInfo } from "../observability/build-info.ts";
import { loggerFor } from "../observability/logger.ts";
import { createMetrics, type Metrics } from "../observability/metrics.ts";
import { PendingClusterId } from "./cluster-id.ts";
import type { RunDeps } from "./controller.ts";

import { nodeEvents } from "./node-events.ts";
import { serve } from "./serve.ts";

/** How often the reasons against readiness are looked at again, milliseconds. */
const READINESS_MS = 30_000;
/** How long clearing leftovers may hold up the start, milliseconds; kubelet waits longer for the socket. */
const PRUNE_MS = 20_000;

/** `rds-csi node`: serves until `stop` is aborted. */
export async function runNode(config: NodeConfig, deps: RunDeps): Promise<void> {
  const logger = deps.logger ?? loggerFor(config, "node");
  const metrics = createMetrics(buildInfo);
  const { nodeId, nqnPrefix, driverName, maxVolumesPerNode } = config;
  const configured = config.clusterId === undefined ? {} : { clusterId: config.clusterId };
  logger.info("starting", { ...buildInfo, nodeId, ...configured, dataPath: config.dataPath });
  const system = createNodeSystem({ logger });
  const { clock } = system;
  // Reads credentials, and nothing from the network.
  const events = await nodeEvents(config, { logger, clock });
  const clusterId = new PendingClusterId(config.clusterId, { source: events.clusterId, clock, logger });
  const dataPath = await dataPathOf(config, system, metrics);
  const identity = { nodeId, clusterId: () => clusterId.get(), nqnPrefix, driverName };
  const nodeMetrics = createNodeMetrics(metrics.registry, system.clock);
  const storageAddresses =
    config.nvmeAddress === undefined ? [] : [config.nvmeAddress, ...config.formerNvmeAddress];
  const service = createNodeService({ system, dataPath, ...identity, maxVolumesPerNode, storageAddresses });

  let reasons: readonly string[] = [];
  const look = async (): Promise<void> => {
    const before = reasons.join("; ");
    await dataPath.prepare?.();
    reasons = await dataPath.readinessProblems().catch((error: unknown) => [String(error)]);
    const now = reasons.join("; ");
    if (now !== before && now !== "") logger.warn("not ready", { reasons });
    else if (now !== before) logger.info("ready again");
  };
  await look();
  const timer = setInterval(() => void look(), READINESS_MS);
  await service.prune(PRUNE_MS);

  const survey = async (signal: AbortSignal) => {
    nodeMetrics.connected(await dataPath.list(signal));
    return service.survey(signal);
  };
  const watch = createHealthWatch({
    survey,
    events: events.sink,
    onLook: nodeMetrics.surveyed,
    nodeId,
    clock,
    logger,
  });
  const ending = new AbortController();
  const { ownNode } = events;
  let removing: Promise<void> | undefined;
  const watching = watch.run(ending.signal);
  // Everything but staging works without it.
  const learning = clusterId.learn(ending.signal);

  const unstage: typeof service.unstage = async (request) => {
    try {
      await service.unstage(request);
    } catch (error) {
      nodeMetrics.unstageFailed(error);
      throw error;
    }
  };
  await serve(
    {
      services: [nodeService({ ...service, unstage }, config.healthDialect)],
      notReadyReasons: () => [...reasons, ...clusterId.problems()],
      opened: (notReadyReasons) => {
        if (ownNode === undefined || !config.removeStartupTaint) return;
        const own = { node: ownNode, driverName, notReadyReasons, clock, logger };
        removing = removeStartupTaint(own, ending.signal);
      },
      close: async () => {
        clearInterval(timer);
        ending.abort();
        await watching;
        await removing;
        await learning;
        await events.close();
      },
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
