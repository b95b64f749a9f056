import { DriverError } from "../domain/errors/driver-error.ts";
import type { ClaimRef, ClusterReader, PodView, VmiView } from "../kubernetes/port.ts";
import type { SingleUserEvidence } from "../migration/decision.ts";
import { type ClaimUser, isHotplugPod, judgeClaimUsers, machineNameOf } from "../migration/guard.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { EvidenceSource } from "./evidence.ts";

/** KubeVirt's default: seconds per decimal GB of guest memory (its configuration, `completionTimeoutPerGiB`). */
const DEFAULT_SECONDS_PER_GB = 150;
/** For `auto` when the size of the machine cannot be found out: generous, as it only reports. Seconds. */
const UNKNOWN_MACHINE_SECONDS = 3_600;
const GB = 1_000_000_000n;

/** Evidence from the Kubernetes API. What cannot be read is `unknown`, never a proof. */
export function kubernetesEvidence(cluster: ClusterReader): EvidenceSource {
  return {
    holderGone: async (nodeId, signal) => !(await cluster.nodeExists(nodeId, signal)),
    singleUser: (volume, holder, signal) => singleUser(cluster, volume, holder, signal),
    allowedSeconds: async (volume, signal) => {
      const machine = await machineOf(cluster, volume, signal);
      return machine === undefined ? UNKNOWN_MACHINE_SECONDS : allowedSeconds(cluster, machine, signal);
    },
  };
}

/** The claim that a volume belongs to: that of its PersistentVolume, which may have been bound anew since it was made. */
export async function claimOf(
  cluster: ClusterReader,
  volume: RdsVolume,
  signal: AbortSignal,
): Promise<ClaimRef | undefined> {
  return (await cluster.persistentVolumeByHandle(volume.id, signal))?.claim;
}

/** The machine that uses a volume, if KubeVirt and a pod say so. */
export async function machineOf(
  cluster: ClusterReader,
  volume: RdsVolume,
  signal: AbortSignal,
): Promise<VmiView | undefined> {
  const claim = await claimOf(cluster, volume, signal);
  if (claim === undefined) return undefined;
  const { users, owners } = await claimUsers(cluster, claim, signal);
  for (const user of users) {
    const name = machineNameOf(user, (each) => owners.get(each.uid));
    const found =
      name === undefined ? undefined : await cluster.virtualMachineInstance(claim.namespace, name, signal);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function singleUser(
  cluster: ClusterReader,
  volume: RdsVolume,
  holder: string,
  signal: AbortSignal,
): Promise<SingleUserEvidence> {
  try {
    const claim = await claimOf(cluster, volume, signal);
    if (claim === undefined)
      return { kind: "not-proven", reason: "no PersistentVolume with a claim has this handle" };
    const { users, owners } = await claimUsers(cluster, claim, signal);
    return judgeClaimUsers(holder, users, (user) => owners.get(user.uid));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DriverError) return { kind: "unknown", reason: error.summary };
    throw error;
  }
}

/** The pods of a claim, and the launcher pods of those among them that hold hot-plugged volumes. */
export async function claimUsers(
  cluster: Pick<ClusterReader, "podsUsingClaim" | "pod">,
  claim: Pick<ClaimRef, "namespace" | "name">,
  signal: AbortSignal,
): Promise<{ users: readonly PodView[]; owners: ReadonlyMap<string, ClaimUser> }> {
  const users = await cluster.podsUsingClaim(claim, signal);
  const owners = new Map<string, ClaimUser>();
  for (const user of users.filter(isHotplugPod)) {
    const owner = user.owners.find(({ kind }) => kind === "Pod");
    const pod = owner === undefined ? undefined : await cluster.pod(user.namespace, owner.name, signal);
    // A pod of the same name may have taken the owner's place.
    if (pod !== undefined && pod.uid === owner?.uid) owners.set(user.uid, pod);
  }
  return { users, owners };
}

/** KubeVirt's own deadline: seconds per GB times the guest's memory in decimal GB, rounded up. 0 = no limit. */
async function allowedSeconds(
  cluster: ClusterReader,
  machine: VmiView,
  signal: AbortSignal,
): Promise<number> {
  const running = machine.migrationState?.completionTimeoutPerGiB;
  const configured =
    running ?? (await cluster.migrationConfig(machine.migrationPolicy, signal))?.completionTimeoutPerGiB;
  const perGb = configured ?? DEFAULT_SECONDS_PER_GB;
  if (perGb === 0) return 0;
  if (machine.memoryBytes === undefined) return UNKNOWN_MACHINE_SECONDS;
  return perGb * Number((machine.memoryBytes + GB - 1n) / GB);
}
