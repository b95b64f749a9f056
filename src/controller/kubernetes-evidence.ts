import { DriverError, isFailure } from "../domain/errors/driver-error.ts";
import { claimUsers } from "../inspect/claim-users.ts";
import { isObjectName } from "../kubernetes/names.ts";
import type { ClusterReader } from "../kubernetes/port.ts";
import type { NodePair, SingleUserEvidence } from "../migration/decision.ts";
import { judgeClaimUsers } from "../migration/guard.ts";
import { judgeMigration } from "../migration/live-migration.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { allowedTime } from "./allowed-time.ts";
import { claimOf, ifAllowed, readMachine } from "./claim-users.ts";
import type { EvidenceSource } from "./evidence.ts";

/** Evidence from the Kubernetes API. What cannot be read is `unknown`, never a proof. */
export function kubernetesEvidence(cluster: ClusterReader): EvidenceSource {
  return {
    holderGone: (volume, nodeId, signal) => isNodeGone(cluster, volume.id, nodeId, signal),
    singleUser: (volume, pair, signal) =>
      orUnknown(
        signal,
        () => singleUser(cluster, volume, pair, signal),
        ({ summary }) => ({
          kind: "unknown",
          reason: summary,
        }),
      ),
    allowedSeconds: (volume, window, signal) =>
      orUnknown(
        signal,
        () => allowedTime(cluster, volume, window, signal),
        (error) => ({
          kind: "unknown",
          reason: error.summary,
          passing: isFailure(error, "kubernetesUnavailable"),
        }),
      ),
    presentClaim: (volume, signal) =>
      orUnknown(
        signal,
        () => claimOf(cluster, volume, signal),
        () => undefined,
      ),
  };
}

/**
 * Whether a node that has a volume was one of this cluster and is gone. Absent here proves nothing about another cluster, so a
 * PersistentVolume of this one must name the volume, and the name be one that a Node can have.
 * @param handle volume handle
 */
export async function isNodeGone(
  cluster: Pick<ClusterReader, "nodeExists" | "persistentVolumeByHandle">,
  handle: string,
  node: string,
  signal: AbortSignal,
): Promise<boolean> {
  if (!isObjectName(node) || (await cluster.nodeExists(node, signal))) return false;
  return (await cluster.persistentVolumeByHandle(handle, signal)) !== undefined;
}

async function singleUser(
  cluster: ClusterReader,
  volume: RdsVolume,
  pair: NodePair,
  signal: AbortSignal,
): Promise<SingleUserEvidence> {
  const claim = await claimOf(cluster, volume, signal);
  if (claim === undefined)
    return {
      kind: "not-proven",
      reason: "no PersistentVolume with a claim has this handle",
      waits: false,
    };
  const { users, owners } = await claimUsers(cluster, claim, signal);
  const judged = judgeClaimUsers(pair, users, (user) => owners.get(user.uid));
  if (judged.kind === "not-proven") return judged;
  const { namespace, name } = judged.machine;
  const [machine, migrations] = await Promise.all([
    readMachine(cluster, judged.machine, signal),
    ifAllowed(() => cluster.migrationsOf(namespace, name, signal)),
  ]);
  // Without the resource of migrations KubeVirt is not there, and an absent machine says nothing.
  const isThere = migrations !== undefined || machine !== "absent";
  return judgeMigration(pair, claim.name, judged, { machine: isThere ? machine : undefined, migrations });
}

/** What cannot be found out is an answer too. @throws what is no error of the catalogue; the reason of an abort */
async function orUnknown<T>(
  signal: AbortSignal,
  ask: () => Promise<T>,
  unknown: (error: DriverError) => T,
): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DriverError) return unknown(error);
    throw error;
  }
}
