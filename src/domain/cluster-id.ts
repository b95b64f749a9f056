/** Cluster id of installations that name none and have no orchestrator; once also of those in Kubernetes. */
export const PLAIN_CLUSTER_ID = "default";

/** Whether a cluster id can be the UID of a namespace (a UUID), which stands for the cluster where no id is configured. */
export function isClusterUid(id: string): boolean {
  return /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id);
}
