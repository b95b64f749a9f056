import type { ClaimRef, ClusterReader, PodView } from "../kubernetes/port.ts";
import { owningPod } from "../migration/guard.ts";

/** The pods of a claim, and the launcher pods of those among them that hold hot-plugged volumes, by the UID of the owned pod. */
export async function claimUsers(
  cluster: Pick<ClusterReader, "podsUsingClaim" | "pod">,
  claim: Pick<ClaimRef, "namespace" | "name">,
  signal: AbortSignal,
): Promise<{ users: readonly PodView[]; owners: ReadonlyMap<string, PodView> }> {
  const users = await cluster.podsUsingClaim(claim, signal);
  const owners = new Map<string, PodView>();
  for (const user of users) {
    const owner = owningPod(user);
    const pod = owner === undefined ? undefined : await cluster.pod(user.namespace, owner.name, signal);
    if (pod !== undefined) owners.set(user.uid, pod);
  }
  return { users, owners };
}
