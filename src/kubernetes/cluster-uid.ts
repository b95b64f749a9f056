import { failure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";

/** Every cluster has it, from its first start to its end, and nobody can make it anew. */
const NAMESPACE = "kube-system";

/**
 * What tells one cluster from another: the UID of the namespace kube-system.
 * @throws as ClusterReader; clusterIdUnknown when there is no such namespace
 */
export async function readClusterUid(api: KubernetesApi, signal: AbortSignal): Promise<string> {
  const found = await api.find({ verb: "get", resource: `namespace ${NAMESPACE}` }, signal, (options) =>
    api.core.readNamespace({ name: NAMESPACE }, options),
  );
  const uid = found?.metadata?.uid;
  if (uid === undefined || uid === "")
    throw failure("clusterIdUnknown", { reason: `the API server has no namespace ${NAMESPACE}` });
  return uid;
}
