import { entry, type List, REPEATED } from "./entry.ts";

/**
 * Failures of the Kubernetes API, seen from the driver. A lookup that failed is UNAVAILABLE, also for a missing permission: its
 * answer is unknown, nothing was changed, the sidecar repeats the call.
 */
export const kubernetesErrors = {
  kubernetesUnavailable: entry.UNAVAILABLE<{ verb: string; resource: string; reason: string }>(
    (p) => `Kubernetes could not be asked to ${p.verb} ${p.resource}: ${p.reason}`,
    "Check the API server and the network to it.",
    REPEATED,
  ),
  kubernetesForbidden: entry.UNAVAILABLE<{ verb: string; resource: string; detail: string }>(
    (p) => `the driver's service account may not ${p.verb} ${p.resource} (${p.detail})`,
    "Apply the ClusterRole of the driver's manifests.",
    REPEATED,
  ),
  clusterIdUnknown: entry.UNAVAILABLE<{ reason: string }>(
    (p) => `the id of this cluster is unknown, and so are its volumes: ${p.reason}`,
    "Grant get of the namespace kube-system, as the manifests do, or set the same --cluster-id for controller, nodes and commands.",
    "The driver asks for it again by itself.",
  ),
  kubernetesUnauthenticated: entry.UNAVAILABLE<{ verb: string; resource: string }>(
    (p) => `Kubernetes does not accept the driver's credentials (${p.verb} ${p.resource})`,
    "Check the service account token or the kubeconfig; they are read anew for the next call.",
  ),
  kubernetesUntrusted: entry.UNAVAILABLE<{ server: string; reason: string }>(
    (p) => `the certificate of the Kubernetes API at ${p.server} is not trusted: ${p.reason}`,
    "Check the CA in ca.crt of the service account or in the kubeconfig, and that the address is in the certificate.",
  ),
  kubernetesRejected: entry.INTERNAL<{ verb: string; resource: string; detail: string }>(
    (p) => `Kubernetes rejected ${p.verb} ${p.resource}: ${p.detail}`,
    "Report the Kubernetes version and this text.",
  ),
  kubernetesConfigUnusable: entry.FAILED_PRECONDITION<{ source: string; reason: string }>(
    (p) => `${p.source} cannot be used to reach Kubernetes: ${p.reason}`,
    "Correct the kubeconfig: `kubectl --kubeconfig FILE get ns` tests it. In a pod, mount the token of its service account.",
  ),
  persistentVolumeAmbiguous: entry.FAILED_PRECONDITION<{ volume: string; names: List }>(
    (p) => `volume ${p.volume} is bound through several PersistentVolumes: ${p.names.join(", ")}`,
    "Delete all but one of them (with persistentVolumeReclaimPolicy Retain). With several, the users of the volume are unknown.",
  ),
  pluginNoPod: entry.UNAVAILABLE<{ what: string; detail: string }>(
    (p) => `there is no ${p.what} that runs the command: ${p.detail}`,
    "Look at its pods: `kubectl get pods --all-namespaces -l app.kubernetes.io/name=rds-csi -o wide`. Another cluster: --context; another namespace: --namespace, before the command.",
  ),
  pluginKubectl: entry.UNAVAILABLE<{ detail: string }>(
    (p) => `kubectl could not look for the pods of rds-csi: ${p.detail}`,
    "The plugin uses your kubeconfig: `kubectl get pods -n rds-csi` must work. The rights that it needs are to list pods, and to create pods/exec.",
  ),
  pluginFile: entry.INVALID_ARGUMENT<{ option: string }>(
    (p) => `${p.option} names a file, which would be one within the pod`,
    "Redirect the output instead, as `-o json > FILE`. For a bundle: `kubectl exec` with --bundle, then `kubectl cp`.",
  ),
} as const;
