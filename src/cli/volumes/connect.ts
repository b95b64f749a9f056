import { hostname } from "node:os";
import { type Input, loadVolumesConfig, type VolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { PLAIN_CLUSTER_ID } from "../../domain/cluster-id.ts";
import { failure, isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import {
  type Fact,
  ifKnown,
  isUnanswered,
  known,
  lookUp,
  notAsked,
  type Unknown,
  unknownBecause,
} from "../../inspect/fact.ts";
import { noClusterLists, readClusterLists, snapshotTotals, type World } from "../../inspect/world.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import type { Logger } from "../../observability/log.ts";
import { loggerFor } from "../../observability/logger.ts";
import { Rds } from "../../rds/rds.ts";
import { RouterOsClient } from "../../routeros/client.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import { createSshTransport, DEFAULT_BACKOFF } from "../../routeros/transport/ssh-transport.ts";
import type { Transport } from "../../routeros/transport/transport.ts";
import type { Io } from "../io.ts";

import { openKubernetes } from "../open-kubernetes.ts";

/** Wait between attempts to connect, milliseconds: a person who watches for the RDS to return is not kept waiting. */
const MAX_BACKOFF_MS = 3_000;

/**
 * The RDS of a command, over one SSH connection that is made when it is first needed. With an unknown cluster id every readable
 * record counts as one of this installation: for commands that only read.
 */
function openRds(
  config: VolumesConfig,
  logger: Logger,
  timeoutSeconds: number,
): { readonly rds: Rds; readonly transport: Transport } {
  // Half of the limit, so that the reason is known before the time is over.
  const patienceMs = Math.min(5_000, timeoutSeconds * 500);
  const backoff = { ...DEFAULT_BACKOFF, maxMs: MAX_BACKOFF_MS };
  const transport = createSshTransport({ ...config.rds, logger, patienceMs, backoff });
  const { clusterId, nqnPrefix, nvmePort, fencing, reserveBytes } = config;
  const client = new RouterOsClient(transport);
  const settings = { clusterId, nqnPrefix, nvmePort, fencing, reserveBytes };
  const rds = new Rds({ client, clock: systemClock, logger, ...settings });
  transport.onReconnect(() => rds.forgetVersion());
  return { rds, transport };
}

/** The cluster of a command; undefined without an orchestrator. @throws kubernetesConfigUnusable */
export async function openCluster(
  config: Pick<VolumesConfig, "orchestrator" | "kubeconfig" | "driverName">,
  logger: Logger,
): Promise<Kubernetes | undefined> {
  if (config.orchestrator === "none") return undefined;
  return openKubernetes(config, { instance: hostname(), logger });
}

/** Both sides of a command that reads volumes. */
export interface Sides {
  readonly config: VolumesConfig;
  readonly rds: Rds;
  readonly transport: Transport;
  /** Unknown: without an orchestrator, or with credentials that cannot be used. */
  readonly cluster: Fact<Kubernetes>;
}

/** The cluster is asked for its id at most so long, seconds: the RDS is to be listed in any case. */
const CLUSTER_ID_SECONDS = 5;

export interface SidesOptions {
  readonly timeoutSeconds: number;
  /**
   * Fail without the cluster's id. Else a cluster that does not answer makes its facts unknown, and every readable record counts
   * as one of this installation.
   */
  readonly strict?: boolean;
}

/**
 * Opens both sides for `run`, and closes them.
 * @throws with `strict`: clusterIdUnknown, kubernetesConfigUnusable
 */
export async function withSides<T>(
  input: Input,
  { timeoutSeconds, strict = false }: SidesOptions,
  io: Io,
  run: (sides: Sides) => Promise<T>,
): Promise<T> {
  const loaded = await loadVolumesConfig(input);
  const logger = loggerFor(loaded, "volumes");
  const cluster = await openedCluster(loaded, logger);
  if (strict && isUnanswered(cluster)) throw cluster.error;
  let transport: Transport | undefined;
  try {
    const seconds = strict ? timeoutSeconds : Math.min(CLUSTER_ID_SECONDS, timeoutSeconds / 2);
    const limit = AbortSignal.any([io.stop, AbortSignal.timeout(seconds * 1_000)]);
    const clusterId = await clusterIdOf(loaded, cluster, limit).catch((error) => {
      if (strict) throw error;
      return undefined;
    });
    const config = { ...loaded, clusterId };
    const opened = openRds(config, logger, timeoutSeconds);
    transport = opened.transport;
    return await run({ config, ...opened, cluster });
  } finally {
    await Promise.all([transport?.close(), ifKnown(cluster)?.close(0)]);
  }
}

/** The configured cluster id, else that of the orchestrator. @throws clusterIdUnknown saying why */
async function clusterIdOf(
  { clusterId }: VolumesConfig,
  cluster: Fact<Kubernetes>,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (clusterId !== undefined) return clusterId;
  if (cluster.state !== "known") return isUnanswered(cluster) ? undefined : PLAIN_CLUSTER_ID;
  try {
    return await cluster.value.clusterUid(signal);
  } catch (error) {
    if (isFailure(error, "clusterIdUnknown")) throw error;
    throw failure("clusterIdUnknown", { reason: toDriverError(error).summary }, error);
  }
}

async function openedCluster(config: VolumesConfig, logger: Logger): Promise<Fact<Kubernetes>> {
  try {
    const opened = await openCluster(config, logger);
    return opened === undefined ? notAsked("--orchestrator is none") : known(opened);
  } catch (error) {
    return unknownBecause(error);
  }
}

/** Limits of both sides; `clear` ends them. */
export interface Limits {
  readonly forRds: AbortSignal;
  readonly forCluster: AbortSignal;
  readonly clear: () => void;
}

/** Limits that say, when they pass, which side did not answer. */
export function limitsOf(
  { transport }: Pick<Sides, "transport">,
  seconds: number,
  stop: AbortSignal,
): Limits {
  const reason = `no answer within ${seconds} s`;
  const late = failure("kubernetesUnavailable", { verb: "read", resource: "the volumes", reason });
  const onRds = limitOf(transport, seconds, stop);
  const inCluster = limitOf({ whyNoAnswer: () => late }, seconds, stop);
  const clear = (): void => {
    onRds.clear();
    inCluster.clear();
  };
  return { forRds: onRds.signal, forCluster: inCluster.signal, clear };
}

/**
 * Reads the lists of both sides. One RouterOS command, besides the version's; one more for the snapshots.
 * @param withSnapshots whether they are listed, too
 */
export async function readWorld(
  { config, rds, cluster }: Sides,
  { forRds, forCluster }: Limits,
  withSnapshots = false,
): Promise<World> {
  const { clusterId, nqnPrefix, nvmePort, fencing } = config;
  // One after the other: a connection that is to run two commands at once is tried with two more before.
  const onRds = async (): Promise<Pick<World, "survey" | "snapshots">> => {
    const survey = await lookUp(forRds, async () => known(await rds.survey(forRds)));
    if (!withSnapshots || survey.state !== "known") return { survey };
    const list = () => rds.snapshots.list({}, forRds);
    return { survey, snapshots: await lookUp(forRds, async () => known(snapshotTotals(await list()))) };
  };
  const [found, lists] = await Promise.all([
    onRds(),
    cluster.state === "known"
      ? readClusterLists(cluster.value.reader, forCluster)
      : noClusterLists(cluster as Unknown),
  ]);
  const installation = { clusterId, nqnPrefix, nvmePort, fencing };
  return { now: systemClock.now(), installation, ...found, cluster: lists };
}
