import { failure } from "./errors/driver-error.ts";

/** Cluster id of installations that name none and have no orchestrator; once also of those in Kubernetes. */
export const PLAIN_CLUSTER_ID = "default";

/** Whether a cluster id can be the UID of a namespace (a UUID), which stands for the cluster where no id is configured. */
export function isClusterUid(id: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
}

/**
 * A cluster id that is a UID is that of exactly one cluster: for work that decides by its objects.
 * @param clusterUid asks the cluster @throws orphansOtherCluster; the failures of clusterUid
 */
export async function requireThisCluster(
  clusterId: string | undefined,
  { clusterUid }: { readonly clusterUid: (signal: AbortSignal) => Promise<string> },
  signal: AbortSignal,
): Promise<void> {
  if (clusterId === undefined || !isClusterUid(clusterId)) return;
  const cluster = await clusterUid(signal);
  if (cluster !== clusterId) throw failure("orphansOtherCluster", { clusterId, cluster });
}
