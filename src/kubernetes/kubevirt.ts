import type { KubernetesApi } from "./api.ts";
import { ifAllowed } from "./api-error.ts";
import { count, type Json, list, listCustom, text, time } from "./custom.ts";
import { toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import type {
  ClusterReader,
  MigratedVolumeView,
  MigrationConfigView,
  MigrationStateView,
  MigrationView,
  VmiView,
} from "./port.ts";
import { parseQuantity } from "./quantity.ts";

const KUBEVIRT = { group: "kubevirt.io", version: "v1" } as const;

type KubevirtReader = Pick<ClusterReader, "virtualMachineInstance" | "migrationsOf" | "migrationConfig">;

/** KubeVirt's objects, all of them optional: a cluster without KubeVirt has none. Errors as ClusterReader's. */
export function kubevirtReader(api: KubernetesApi): KubevirtReader {
  const { custom } = api;
  return {
    virtualMachineInstance: async (namespace, name, signal) => {
      if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
      const plural = "virtualmachineinstances";
      const found = await api.find(
        { verb: "get", resource: `${plural}.kubevirt.io ${namespace}/${name}` },
        signal,
        (options) => custom.getNamespacedCustomObject({ ...KUBEVIRT, plural, namespace, name }, options),
        { orNoSuchResource: true },
      );
      return found === undefined ? undefined : vmiView(found);
    },
    migrationsOf: async (namespace, vmiName, signal) => {
      const plural = "virtualmachineinstancemigrations";
      const found = await listCustom(api, { ...KUBEVIRT, plural, namespace }, signal);
      return found
        ?.filter((object) => object?.spec?.vmiName === (vmiName as unknown))
        .map(migrationView)
        .sort((a, b) => a.created - b.created || (a.name < b.name ? -1 : 1));
    },
    // Reading the configuration is a courtesy that the cluster's administrator may not grant.
    migrationConfig: async (signal) => {
      const params = { ...KUBEVIRT, resourcePlural: "kubevirts" };
      const found = await ifAllowed(() =>
        api.find(
          { verb: "list", resource: "kubevirts.kubevirt.io" },
          signal,
          async (options) => toPage<Json>(await custom.listCustomObjectForAllNamespaces(params, options)),
          { orNoSuchResource: true },
        ),
      );
      const [kubevirt] = found?.items ?? [];
      return kubevirt === undefined ? undefined : configView(kubevirt.spec?.configuration?.migrations);
    },
  };
}

/** @param object `migrations` of the KubeVirt object, or `migrationConfiguration` of a migration: the same members */
function configView(object: Json): MigrationConfigView {
  const flag = (value: unknown) => value === true;
  return {
    completionTimeoutPerGiB: count(object?.completionTimeoutPerGiB),
    allowPostCopy: flag(object?.allowPostCopy),
    allowWorkloadDisruption: flag(object?.allowWorkloadDisruption),
  };
}

/** @param object a VirtualMachineInstance */
function vmiView(object: Json): VmiView {
  const { metadata, spec, status } = object ?? {};
  const domain = spec?.domain;
  const state = status?.migrationState;
  return {
    uid: text(metadata?.uid) ?? "",
    namespace: text(metadata?.namespace) ?? "",
    name: text(metadata?.name) ?? "",
    node: text(status?.nodeName) || undefined,
    phase: text(status?.phase) ?? "",
    memoryBytes: parseQuantity(domain?.memory?.guest) ?? parseQuantity(domain?.resources?.requests?.memory),
    migratedVolumes: list(status?.migratedVolumes).map(migratedVolume),
    migrationState: state === undefined ? undefined : migrationState(state),
  };
}

function migrationState(state: NonNullable<Json>): MigrationStateView {
  return {
    targetNode: text(state.targetNode) || undefined,
    ended: time(state.endTimestamp),
    mode: text(state.mode) || undefined,
    configuration:
      state.migrationConfiguration === undefined ? undefined : configView(state.migrationConfiguration),
  };
}

/** Its size as KubeVirt counts it: the smaller of request and capacity of the claim that is copied. */
function migratedVolume(object: Json): MigratedVolumeView {
  const { sourcePVCInfo: from, destinationPVCInfo: to } = object ?? {};
  const sizes = [from?.requests?.storage, from?.capacity?.storage].flatMap(
    (size) => parseQuantity(size) ?? [],
  );
  const [smallest] = sizes.toSorted((a, b) => (a < b ? -1 : 1));
  return {
    claims: [text(from?.claimName), text(to?.claimName)].filter((name) => name !== undefined),
    bytes: smallest,
  };
}

/** @param object a VirtualMachineInstanceMigration */
function migrationView(object: Json): MigrationView {
  const { metadata, status } = object ?? {};
  const state = status?.migrationState;
  const last = list(status?.phaseTransitionTimestamps).find((entry) =>
    ["Succeeded", "Failed"].includes(text(entry?.phase) ?? ""),
  );
  return {
    name: text(metadata?.name) ?? "",
    uid: text(metadata?.uid) ?? "",
    phase: text(status?.phase) ?? "",
    created: time(metadata?.creationTimestamp) ?? 0,
    targetNode: text(state?.targetNode) || undefined,
    targetPod: text(state?.targetPod) || undefined,
    started: time(state?.startTimestamp),
    completed: time(last?.phaseTransitionTimestamp) ?? time(state?.endTimestamp),
    failureReason: text(state?.failureReason) || undefined,
  };
}
