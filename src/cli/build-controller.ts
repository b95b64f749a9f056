import { randomBytes } from "node:crypto";
import type { ControllerConfig } from "../config/load.ts";
import { AttachmentService } from "../controller/attachments.ts";
import { CopyService } from "../controller/copies.ts";
import { ExpansionService } from "../controller/expansion.ts";
import { FindingsWatch } from "../controller/findings-watch.ts";
import { createMigrationMetrics } from "../controller/migration-metrics.ts";
import { MigrationReporter } from "../controller/migration-reporter.ts";
import { ModifyService } from "../controller/modify.ts";
import { OrphanWatch } from "../controller/orphan-watch.ts";
import { Reconciler } from "../controller/reconciler.ts";
import { SnapshotService } from "../controller/snapshots.ts";
import { createSpaceMetrics, SpaceWatch } from "../controller/space-watch.ts";
import { VolumeCounts } from "../controller/volume-counts.ts";
import { VolumeHealthService } from "../controller/volume-health.ts";
import { VolumeService } from "../controller/volumes.ts";
import { controllerService } from "../csi/controller.ts";
import { type Clock, systemClock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { Metrics } from "../observability/metrics.ts";
import { PoolReporter } from "../rds/pool-report.ts";
import { Rds } from "../rds/rds.ts";
import { RecordKeeper } from "../records/keeper.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { createSshTransport } from "../routeros/transport/ssh-transport.ts";
import { buildCluster, type ClusterParts } from "./build-cluster.ts";
import { logPreflight } from "./check.ts";
import { PendingClusterId } from "./cluster-id.ts";
import { readPremises } from "./device-profile.ts";
import { createRdsMetrics } from "./rds-metrics.ts";
import type { Component } from "./serve.ts";

export interface ControllerDeps {
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly clock?: Clock;
  /** Default: as configured. */
  readonly cluster?: ClusterParts;
}

/** The controller's services on one RDS, and its background loop. Start-up depends neither on the RDS nor on the cluster. */
export async function buildController(config: ControllerConfig, deps: ControllerDeps): Promise<Component> {
  const { logger, metrics, clock = systemClock } = deps;
  const { nqnPrefix, nvmePort, fencing, reserveBytes, pool, directory } = config;
  const { premises, profile } = await readPremises(config, logger);
  const stop = new AbortController();
  const cluster = deps.cluster ?? (await buildCluster(config, { logger, clock }));
  const clusterId = new PendingClusterId(config.clusterId, { source: cluster.clusterId, clock, logger });
  const { observer, onFailure } = createRdsMetrics(metrics.registry, clock);
  const transport = createSshTransport({ ...config.rds, logger, clock, observer });
  const client = new RouterOsClient(transport, undefined, undefined, onFailure);
  const rds = new Rds({
    ...{ client, clock, logger, nqnPrefix, nvmePort, fencing },
    defaultPool: pool,
    ready: (signal) => clusterId.ensure(signal),
    get clusterId() {
      return clusterId.get();
    },
  });
  const { reader, names, events, outcome } = cluster;
  const counts = new VolumeCounts({ rds, clock, logger });
  const pools = new PoolReporter({ client, clock, defaultPool: pool }, (signal) => rds.version(signal));
  const space = new SpaceWatch({ pools, snapshots: rds.snapshots, clock, logger });
  createSpaceMetrics(metrics.registry, () => space.get());
  const migrationMetrics = createMigrationMetrics(metrics.registry, () => counts.onTwoNodes(), clock);
  // In the records this tells processes apart, also those of one pod before and after a restart.
  const instance = randomBytes(4).toString("hex");
  const reporter = new MigrationReporter({
    metrics: migrationMetrics,
    logger,
    clock,
    events,
    outcome,
    instance,
    fencing,
  });
  const copies = new CopyService({ rds, clock, logger, events });
  const volumes = new VolumeService({
    ...{ rds, clock, layout: { pool, directory }, reserveBytes, copies, premises },
    get clusterId() {
      return clusterId.get();
    },
  });
  const snapshots = new SnapshotService({
    store: rds.snapshots,
    conversions: rds.conversions,
    layout: { pool, directory },
    reserveBytes,
    premises,
  });
  const health = new VolumeHealthService({ rds, clock, cluster: reader });
  const findings = new FindingsWatch({ health, registry: metrics.registry, clock, logger });
  const orphans = new OrphanWatch({
    ...{ rds, clock, logger, layout: { pool, directory }, registry: metrics.registry },
    cluster: reader && names && { reader, names, clusterUid: cluster.clusterId },
    get clusterId() {
      return clusterId.get();
    },
  });
  const attachments = new AttachmentService({
    rds,
    nodes: cluster.nodes,
    evidence: cluster.evidence,
    reporter,
    logger,
    clock,
    get clusterId() {
      return clusterId.get();
    },
    nvmeAddress: config.nvmeAddress,
    maxVolumesPerNode: config.maxVolumesPerNode,
  });
  const expansions = new ExpansionService({
    rds,
    reporter,
    logger,
    clock,
    reserveBytes,
    online: config.onlineExpansion,
    premises,
  });
  const modifications = new ModifyService({ rds, reporter, logger });
  const keeper =
    cluster.shards === undefined ? undefined : new RecordKeeper({ store: cluster.shards, clock, logger });
  const reconciler = new Reconciler({
    rds,
    attachments,
    reporter,
    metrics: migrationMetrics,
    clock,
    logger,
    cluster: reader,
    events,
    unasked: names && {
      ...{ names, clusterUid: cluster.clusterId },
      remove: (volume, signal) => volumes.removeUnasked(volume, signal),
    },
    keep: keeper && ((found, signal) => keeper.keep(found, signal)),
  });
  transport.onReconnect(() => {
    rds.forgetVersion();
    reconciler.trigger();
  });
  const background = Promise.all([
    cluster.lead(async (signal) => {
      await Promise.all([reconciler.run(signal), findings.run(signal), orphans.run(signal)]);
    }, stop.signal),
    counts.run(stop.signal),
    space.run(stop.signal),
    clusterId.learn(stop.signal),
    logPreflight(config, profile, logger, stop.signal),
  ]);
  return {
    services: [
      controllerService({
        ...{ volumes, snapshots, attachments, expansions, modifications, health },
        healthDialect: config.healthDialect,
      }),
    ],
    // Once it has read the RDS it stays ready: see docs/metrics.md, "Health and readiness".
    notReadyReasons: () => [
      ...clusterId.problems(),
      ...(counts.neverRead === undefined ? [] : [counts.neverRead]),
    ],
    close: async () => {
      stop.abort(new Error("the controller stops"));
      await background;
      await copies.close();
      await attachments.close();
      await cluster.close();
      await transport.close();
    },
  };
}
