import type { Access, PolicyRule } from "../support/kubernetes/fake-api-server.ts";
import { type Manifest, ofKind, resourcesIn } from "./manifests.fixture.ts";

/** Where kustomize puts the base. */
export const NAMESPACE = "rds-csi";

/** Roles of the driver's own code, as opposed to those of the sidecars and of commands that people run in its pods. */
export const DRIVER_ROLES = {
  controller: ["rds-csi-controller", "rds-csi-controller-kubevirt"],
  node: ["rds-csi-node"],
} as const;

/** Reading rights for commands that people run in the pods, beyond those of the driver in the same pod. */
export const COMMAND_ROLES = {
  "rds-csi-controller-show": "rds-csi volumes show, rds-csi snapshots show",
  "rds-csi-node-diagnose": "rds-csi diagnose",
  "rds-csi-node-diagnose-pods": "rds-csi diagnose",
} as const;

/** The rules of roles by their names, of kind Role and ClusterRole. */
export function rulesOf(names: readonly string[], objects = withComponents()): PolicyRule[] {
  const roles = objects.filter(({ kind }) => kind === "Role" || kind === "ClusterRole");
  for (const name of names)
    if (!roles.some(({ metadata }) => metadata.name === name)) throw new Error(`no role ${name}`);
  return roles
    .filter(({ metadata }) => names.includes(metadata.name))
    .flatMap(({ kind, rules }) =>
      rules.map((rule: PolicyRule) => (kind === "Role" ? { ...rule, namespace: NAMESPACE } : rule)),
    );
}

/** The base and the components that have roles. */
export function withComponents(): Manifest[] {
  return ["base", "components/kubevirt", "components/snapshots", "components/diagnose-pods"].flatMap(
    resourcesIn,
  );
}

/** Every single right of some rules, as `verb group/resource`. */
export function rightsOf(rules: readonly PolicyRule[]): Set<string> {
  return new Set(
    rules.flatMap(({ verbs, apiGroups, resources }) =>
      verbs.flatMap((verb) =>
        apiGroups.flatMap((group) => resources.map((resource) => rightOf({ verb, group, resource }))),
      ),
    ),
  );
}

export function rightOf({ verb, group, resource }: Pick<Access, "verb" | "group" | "resource">): string {
  return `${verb} ${group}/${resource}`;
}

/** Roles and bindings of a set, with what they name. */
export function bindingsOf(objects: readonly Manifest[]) {
  const bindings = [...ofKind(objects, "RoleBinding"), ...ofKind(objects, "ClusterRoleBinding")];
  return bindings.map(({ kind, metadata, subjects, roleRef }) => ({
    kind,
    name: metadata.name,
    subjects,
    roleRef,
  }));
}
