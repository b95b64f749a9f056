import { hostname } from "node:os";
import type { VolumesConfig } from "../../config/load.ts";
import { systemClock } from "../../domain/clock.ts";
import { PLAIN_CLUSTER_ID } from "../../domain/cluster-id.ts";
import { failure, isFailure, toDriverError } from "../../domain/errors/driver-error.ts";
import type { Kubernetes } from "../../kubernetes/create.ts";
import type { Logger } from "../../observability/log.ts";
import { Rds } from "../../rds/rds.ts";
import { RouterOsClient } from "../../routeros/client.ts";
import { createSshTransport, DEFAULT_BACKOFF } from "../../routeros/transport/ssh-transport.ts";
import type { Transport } from "../../routeros/transport/transport.ts";
import { openKubernetes } from "../open-kubernetes.ts";

/** Wait between attempts to connect, milliseconds: a person who watches for the RDS to return is not kept waiting. */
const MAX_BACKOFF_MS = 3_000;

/**
 * The RDS of a command, over one SSH connection that is made when it is first needed. With an unknown cluster id every readable
 * record counts as one of this installation: for commands that only read.
 */
export function openRds(
  config: VolumesConfig,
  logger: Logger,
  timeoutSeconds: number,
): { readonly rds: Rds; readonly transport: Transport } {
  // Half of the limit, so that the reason is known before the time is over.
  const patienceMs = Math.min(5_000, timeoutSeconds * 500);
  const backoff = { ...DEFAULT_BACKOFF, maxMs: MAX_BACKOFF_MS };
  const transport = createSshTransport({ ...config.rds, logger, patienceMs, backoff });
  const { clusterId, nqnPrefix, nvmePort, fencing } = config;
  const client = new RouterOsClient(transport);
  const rds = new Rds({ client, clock: systemClock, logger, clusterId, nqnPrefix, nvmePort, fencing });
  transport.onReconnect(() => rds.forgetVersion());
  return { rds, transport };
}

/** A signal that aborts with `stop` and after so many seconds. */
export function within(seconds: number, stop: AbortSignal): AbortSignal {
  return AbortSignal.any([stop, AbortSignal.timeout(seconds * 1_000)]);
}

/**
 * The configuration with the cluster's id, which the orchestrator is asked for if it is not set.
 * @throws clusterIdUnknown saying why
 */
export async function withKnownCluster(
  config: VolumesConfig,
  logger: Logger,
  signal: AbortSignal,
): Promise<VolumesConfig & { readonly clusterId: string }> {
  const { clusterId } = config;
  if (clusterId !== undefined) return { ...config, clusterId };
  const kubernetes = await openCluster(config, logger);
  try {
    return { ...config, clusterId: (await kubernetes?.clusterUid(signal)) ?? PLAIN_CLUSTER_ID };
  } catch (error) {
    if (isFailure(error, "clusterIdUnknown")) throw error;
    throw failure("clusterIdUnknown", { reason: toDriverError(error).summary }, error);
  } finally {
    await kubernetes?.close(0);
  }
}

/** The cluster of a command; undefined without an orchestrator. @throws kubernetesConfigUnusable */
export async function openCluster(config: VolumesConfig, logger: Logger): Promise<Kubernetes | undefined> {
  if (config.orchestrator === "none") return undefined;
  return openKubernetes(config, { instance: hostname(), logger });
}
