/** JSON as the API server stores it. */
// biome-ignore lint/suspicious/noExplicitAny: tests write and read arbitrary objects
export type KubeObject = any;

/** A resource that the fake API server knows. */
export interface ResourceType {
  /** "" for the core group. */
  readonly group: string;
  readonly version: string;
  readonly resource: string;
  readonly kind: string;
  readonly namespaced: boolean;
  /** Updates of the object leave its status alone, and updates of the status leave the rest alone. */
  readonly status?: boolean;
  /** Updates must name the resourceVersion that they are based on. */
  readonly strictUpdate?: boolean;
}

/** What every cluster has, as far as the driver is concerned. */
export const BUILT_IN: readonly ResourceType[] = [
  { group: "", version: "v1", resource: "nodes", kind: "Node", namespaced: false, status: true },
  { group: "", version: "v1", resource: "namespaces", kind: "Namespace", namespaced: false, status: true },
  {
    group: "",
    version: "v1",
    resource: "configmaps",
    kind: "ConfigMap",
    namespaced: true,
  },
  { group: "", version: "v1", resource: "pods", kind: "Pod", namespaced: true, status: true },
  { group: "", version: "v1", resource: "events", kind: "Event", namespaced: true },
  {
    group: "",
    version: "v1",
    resource: "persistentvolumes",
    kind: "PersistentVolume",
    namespaced: false,
    status: true,
  },
  {
    group: "",
    version: "v1",
    resource: "persistentvolumeclaims",
    kind: "PersistentVolumeClaim",
    namespaced: true,
    status: true,
  },
  {
    group: "storage.k8s.io",
    version: "v1",
    resource: "volumeattachments",
    kind: "VolumeAttachment",
    namespaced: false,
    status: true,
  },
  {
    group: "storage.k8s.io",
    version: "v1",
    resource: "storageclasses",
    kind: "StorageClass",
    namespaced: false,
  },
  { group: "storage.k8s.io", version: "v1", resource: "csinodes", kind: "CSINode", namespaced: false },
  {
    group: "coordination.k8s.io",
    version: "v1",
    resource: "leases",
    kind: "Lease",
    namespaced: true,
    strictUpdate: true,
  },
];

const kubevirt = (resource: string, kind: string): ResourceType => ({
  group: "kubevirt.io",
  version: "v1",
  resource,
  kind,
  namespaced: true,
  status: true,
  strictUpdate: true,
});

/** What KubeVirt adds. */
export const KUBEVIRT: readonly ResourceType[] = [
  kubevirt("virtualmachineinstances", "VirtualMachineInstance"),
  kubevirt("virtualmachineinstancemigrations", "VirtualMachineInstanceMigration"),
  kubevirt("kubevirts", "KubeVirt"),
];

const snapshot = (resource: string, kind: string, namespaced: boolean): ResourceType => ({
  ...{ group: "snapshot.storage.k8s.io", version: "v1", resource, kind, namespaced, status: true },
});

/** What external-snapshotter adds. */
export const SNAPSHOTS: readonly ResourceType[] = [
  snapshot("volumesnapshots", "VolumeSnapshot", true),
  snapshot("volumesnapshotcontents", "VolumeSnapshotContent", false),
];

/** JSON merge patch (RFC 7386). */
export function mergePatch(target: KubeObject, patch: KubeObject): KubeObject {
  if (patch === null || typeof patch !== "object" || Array.isArray(patch)) return patch;
  const result = target !== null && typeof target === "object" && !Array.isArray(target) ? { ...target } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else result[key] = mergePatch(result[key], value);
  }
  return result;
}

/** Whether a field selector such as `spec.nodeName=a,status.phase!=Failed` selects an object. */
export function fieldsMatch(selector: string, object: KubeObject): boolean {
  return terms(selector).every((term) => {
    const [, path = "", operator = "", wanted = ""] = /^([^!=]+)(!=|==?)(.*)$/.exec(term) ?? [];
    const found = path.split(".").reduce((value: KubeObject, key) => value?.[key], object);
    return operator === "!=" ? String(found ?? "") !== wanted : String(found ?? "") === wanted;
  });
}

/** Whether a label selector selects an object: `a=b`, `a!=b`, `a`, `!a`, `a in (x,y)`, `a notin (x,y)`. */
export function labelsMatch(selector: string, object: KubeObject): boolean {
  const labels: Record<string, string> = object.metadata.labels ?? {};
  return terms(selector).every((term) => {
    const sets = /^(\S+) (in|notin) \(([^)]*)\)$/.exec(term);
    if (sets !== null) {
      const among = (sets[3] ?? "").split(",").includes(labels[sets[1] ?? ""] ?? "\0");
      return (sets[2] === "in") === among;
    }
    const [, not, key = "", operator, value] = /^(!?)([^!=]+)(?:(!=|==?)(.*))?$/.exec(term) ?? [];
    if (operator === undefined) return (not === "!") !== key in labels;
    return (operator === "!=") !== (labels[key] === value);
  });
}

/** Splits at commas outside of parentheses. */
function terms(selector: string): string[] {
  return selector.split(/,(?![^(]*\))/).filter((term) => term !== "");
}
