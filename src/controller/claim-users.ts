import { claimUsers } from "../inspect/claim-users.ts";
import { ifAllowed } from "../kubernetes/api-error.ts";
import type { ClaimRef, ClusterReader, VmiView } from "../kubernetes/port.ts";
import { type VmiRef, vmiOf } from "../migration/guard.ts";
import type { RdsVolume } from "../rds/volume.ts";

/** The claim that a volume belongs to: that of its PersistentVolume, which may have been bound anew since it was made. */
export async function claimOf(
  cluster: ClusterReader,
  volume: RdsVolume,
  signal: AbortSignal,
): Promise<ClaimRef | undefined> {
  return (await cluster.persistentVolumeByHandle(volume.id, signal))?.claim;
}

/**
 * The machine that uses a volume, as its pods name it.
 * @param node where one of its pods is to be looked for first
 */
export async function vmiUsing(
  cluster: ClusterReader,
  volume: RdsVolume,
  node: string | undefined,
  signal: AbortSignal,
): Promise<VmiRef | undefined> {
  const claim = await claimOf(cluster, volume, signal);
  if (claim === undefined) return undefined;
  const { users, owners } = await claimUsers(cluster, claim, signal);
  const there = users.filter((user) => user.node === node);
  for (const user of [...there, ...users]) {
    const vmi = vmiOf(user, (each) => owners.get(each.uid));
    if (vmi !== undefined) return vmi;
  }
  return undefined;
}

/**
 * The VirtualMachineInstance that pods name: "absent" if it was deleted, also if one of its name was made anew. undefined: it may not be
 * read.
 * @param allowed how a refusal of the API is taken
 */
export async function readVmi(
  cluster: Pick<ClusterReader, "virtualMachineInstance">,
  { namespace, name, uid }: VmiRef,
  signal: AbortSignal,
  allowed: typeof ifAllowed = ifAllowed,
): Promise<VmiView | "absent" | undefined> {
  const found = await allowed(async () => {
    const vmi = await cluster.virtualMachineInstance(namespace, name, signal);
    return vmi ?? "absent";
  });
  return typeof found === "object" && found.uid !== uid ? "absent" : found;
}
