import type { ControllerConfig } from "../config/load.ts";
import { AttachmentService } from "../controller/attachments.ts";
import { noOrchestrator } from "../controller/evidence.ts";
import { staticNodes } from "../controller/nodes.ts";
import { VolumeService } from "../controller/volumes.ts";
import { controllerService } from "../csi/controller.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { Rds } from "../rds/rds.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { createSshTransport } from "../routeros/transport/transport.ts";
import type { Component } from "./serve.ts";
import { transportMetrics } from "./transport-metrics.ts";

export interface ControllerDeps {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
}

/** The controller's services on one RDS. Opens no connection: the first call does. */
export function buildController(config: ControllerConfig, deps: ControllerDeps): Component {
  const { logger, metrics, clock = systemClock } = deps;
  const { clusterId, nqnPrefix, nvmeAddress, nvmePort, fencing, reserveBytes, pool, directory } = config;
  const transport = createSshTransport({ ...config.rds, logger, clock, observer: transportMetrics(metrics) });
  const rds = new Rds({
    client: new RouterOsClient(transport),
    clock,
    logger,
    clusterId,
    nqnPrefix,
    nvmePort,
    fencing,
  });
  transport.onReconnect(() => rds.forgetVersion());
  const volumes = new VolumeService({ rds, clock, layout: { pool, directory }, reserveBytes, clusterId });
  const attachments = new AttachmentService({
    rds,
    nodes: staticNodes(config.nodes),
    evidence: noOrchestrator,
    report: (volume, events) => {
      for (const { type, ...facts } of events)
        logger.info("migration", { volume: volume.id, type, ...facts });
    },
    clock,
    clusterId,
    nvmeAddress,
    nvmePort,
    maxVolumesPerNode: config.maxVolumesPerNode,
  });
  return {
    services: [controllerService({ volumes, attachments })],
    notReadyReasons: () => [],
    close: () => transport.close(),
  };
}
