import { DEFAULT_DRIVER_NAME } from "../config/common-options.ts";
import type { NodeConfig } from "../config/load.ts";
import type { Kubernetes, KubernetesOptions } from "../kubernetes/create.ts";

/**
 * The cluster of `--orchestrator kubernetes`. Reads credentials, and nothing from the network.
 * @throws kubernetesConfigUnusable
 */
export async function openKubernetes(
  { kubeconfig, driverName }: Pick<NodeConfig, "kubeconfig" | "driverName">,
  options: Omit<KubernetesOptions, "source" | "driverName">,
): Promise<Kubernetes> {
  // Loaded only here: without Kubernetes its client costs nothing.
  const { createKubernetes } = await import("../kubernetes/create.ts");
  return createKubernetes({
    source: kubeconfig === undefined ? { kind: "in-cluster" } : { kind: "kubeconfig", path: kubeconfig },
    driverName,
    ...options,
  });
}

/** Start of the names of the ConfigMaps with copies of records. The manifests grant those of the default driver name. */
export function recordsPrefix(driverName: string): string {
  return driverName === DEFAULT_DRIVER_NAME
    ? "rds-csi-records"
    : `${driverName.replaceAll(".", "-")}-records`;
}
