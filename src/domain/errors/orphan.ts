import { entry, type List } from "./entry.ts";

/** Failures of `rds-csi volumes orphans`. */
export const orphanErrors = {
  orphansNeedCluster: entry.FAILED_PRECONDITION<{ reason: string }>(
    (p) =>
      `only Kubernetes can say which volumes and snapshots nobody names, and there is no cluster: ${p.reason}`,
    "Run the command in the controller's pod, or set --orchestrator kubernetes and --kubeconfig. Without an answer of the cluster nothing counts as an orphan.",
  ),
  orphansOtherCluster: entry.FAILED_PRECONDITION<{ clusterId: string; cluster: string }>(
    (p) =>
      `the cluster id is ${p.clusterId}, and the cluster that was asked has the UID ${p.cluster}: its PersistentVolumes say nothing about the volumes of ${p.clusterId}`,
    "Use the kubeconfig of the cluster whose volumes you mean, or remove --cluster-id.",
  ),
  orphanUnknown: entry.NOT_FOUND<{ names: List; orphans: number }>(
    (p) =>
      `no orphan is called ${p.names.map((name) => JSON.stringify(name)).join(", ")}; there are ${p.orphans}. Nothing was deleted`,
    "Name orphans as `rds-csi volumes orphans` shows them, in full; `-o wide` cuts no name.",
  ),
  orphanKept: entry.FAILED_PRECONDITION<{ name: string; reason: string }>(
    (p) => `${p.name} was not deleted: ${p.reason}`,
    "Look at it anew with `rds-csi volumes orphans`.",
  ),
  orphansKept: entry.FAILED_PRECONDITION<{ kept: List }>(
    (p) => `${p.kept.length} of the plan were not deleted: ${p.kept.slice(0, 10).join("; ")}`,
    "The lines above say why. Repeat the command where a reply was lost; look at the others with `rds-csi volumes orphans`.",
  ),
};
