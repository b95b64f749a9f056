/** Cluster id of installations that name none and have no orchestrator; once also of those in Kubernetes. */
export const PLAIN_CLUSTER_ID = "default";

/** UUIDs as Kubernetes makes them for objects. */
const UID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Whether a cluster id can be the UID of a namespace, which stands for the cluster where no id is configured. */
export function isClusterUid(id: string): boolean {
  return UID.test(id);
}
