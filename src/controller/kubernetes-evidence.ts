import { DriverError, isFailure } from "../domain/errors/driver-error.ts";
import { claimUsers } from "../inspect/claim-users.ts";
import { type ifAllowed, optionalRight } from "../kubernetes/api-error.ts";
import { isObjectName } from "../kubernetes/names.ts";
import type { ClusterReader } from "../kubernetes/port.ts";
import type { NodePair, SingleUserEvidence } from "../migration/decision.ts";
import { judgeClaimUsers } from "../migration/guard.ts";
import { judgeMigration } from "../migration/live-migration.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { allowedTime } from "./allowed-time.ts";
import { claimOf, readVmi } from "./claim-users.ts";
import type { EvidenceSource } from "./evidence.ts";

/** Evidence from the Kubernetes API. A failed read is `unknown`, never a proof. */
export function kubernetesEvidence(cluster: ClusterReader): EvidenceSource {
  const rights = { vmi: optionalRight(), migrations: optionalRight() };
  return {
    holderGone: (volume, nodeId, signal) => isNodeGone(cluster, volume.id, nodeId, signal),
    singleUser: (volume, pair, signal) =>
      orUnknown(
        signal,
        () => singleUser(cluster, rights, volume, pair, signal),
        ({ summary }) => ({ kind: "unknown", reason: summary }),
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
 * Whether a node that has a volume was one of this cluster and is gone. The holder may be a node of another cluster: so a
 * PersistentVolume of this one must name the volume, and a Node must be able to have the name.
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
  rights: Readonly<Record<"vmi" | "migrations", typeof ifAllowed>>,
  volume: RdsVolume,
  pair: NodePair,
  signal: AbortSignal,
): Promise<SingleUserEvidence> {
  const claim = await claimOf(cluster, volume, signal);
  const reason = "no PersistentVolume with a claim has this handle";
  if (claim === undefined) return { kind: "not-proven", reason, waits: false };
  const { users, owners } = await claimUsers(cluster, claim, signal);
  const judged = judgeClaimUsers(pair, users, (user) => owners.get(user.uid));
  if (judged.kind === "not-proven") return judged;
  const { namespace, name } = judged.vmi;
  const [vmi, migrations] = await Promise.all([
    readVmi(cluster, judged.vmi, signal, rights.vmi),
    rights.migrations(() => cluster.migrationsOf(namespace, name, signal)),
  ]);
  // Without the resource of migrations KubeVirt is absent, and an absent VirtualMachineInstance proves nothing.
  const isThere = migrations !== undefined || vmi !== "absent";
  return judgeMigration(pair, claim.name, judged, { vmi: isThere ? vmi : undefined, migrations });
}

/** Turns an error of the catalogue into the answer `unknown`. @throws other errors; the reason of an abort */
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
