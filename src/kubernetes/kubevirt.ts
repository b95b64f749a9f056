import { isFailure } from "../domain/errors/driver-error.ts";
import type { KubernetesApi } from "./api.ts";
import { listAll, PAGE_LIMIT, toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import type { MigrationConfigView, MigrationStateView, MigrationView, VmiView } from "./port.ts";
import { parseQuantity } from "./quantity.ts";

const KUBEVIRT = { group: "kubevirt.io", version: "v1" } as const;
const POLICIES = {
  group: "migrations.kubevirt.io",
  version: "v1alpha1",
  plural: "migrationpolicies",
} as const;

/** A custom resource, of which nothing is certain. */
type Json = { readonly [key: string]: Json } | undefined;

/** KubeVirt's objects, all of them optional: a cluster without KubeVirt has none. Errors as ClusterReader's. */
export class KubevirtReader {
  readonly #api: KubernetesApi;

  constructor(api: KubernetesApi) {
    this.#api = api;
  }

  async virtualMachineInstance(
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<VmiView | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    const resource = `virtualmachineinstances.kubevirt.io ${namespace}/${name}`;
    const found = await this.#api.find(
      { verb: "get", resource },
      signal,
      (options) =>
        this.#api.custom.getNamespacedCustomObject(
          { ...KUBEVIRT, plural: "virtualmachineinstances", namespace, name },
          options,
        ),
      { orNoSuchResource: true },
    );
    return found === undefined ? undefined : vmiView(found);
  }

  async migrationsOf(
    namespace: string,
    vmiName: string,
    signal: AbortSignal,
  ): Promise<readonly MigrationView[]> {
    const resource = `virtualmachineinstancemigrations.kubevirt.io in namespace ${namespace}`;
    const plural = "virtualmachineinstancemigrations";
    const found = await this.#api.find(
      { verb: "list", resource },
      signal,
      (options) =>
        listAll(async (_continue) =>
          toPage<Json>(
            await this.#api.custom.listNamespacedCustomObject(
              { ...KUBEVIRT, plural, namespace, limit: PAGE_LIMIT, ...(_continue ? { _continue } : {}) },
              options,
            ),
          ),
        ),
      { orNoSuchResource: true },
    );
    return (found?.items ?? [])
      .filter((object) => object?.spec?.vmiName === (vmiName as unknown))
      .map(migrationView)
      .sort((a, b) => a.created - b.created || (a.name < b.name ? -1 : 1));
  }

  async migrationConfig(
    policy: string | undefined,
    signal: AbortSignal,
  ): Promise<MigrationConfigView | undefined> {
    const byPolicy = policy === undefined ? undefined : await this.#policy(policy, signal);
    return byPolicy ?? (await this.#clusterConfig(signal));
  }

  async #policy(name: string, signal: AbortSignal): Promise<MigrationConfigView | undefined> {
    if (!isObjectName(name)) return undefined;
    const resource = `migrationpolicies.migrations.kubevirt.io ${name}`;
    const found: Json = await readable(
      this.#api.find(
        { verb: "get", resource },
        signal,
        (options) => this.#api.custom.getClusterCustomObject({ ...POLICIES, name }, options),
        { orNoSuchResource: true },
      ),
    );
    return configView(found?.spec?.completionTimeoutPerGiB, `MigrationPolicy ${name}`);
  }

  async #clusterConfig(signal: AbortSignal): Promise<MigrationConfigView | undefined> {
    const found = await readable(
      this.#api.find(
        { verb: "list", resource: "kubevirts.kubevirt.io" },
        signal,
        async (options) =>
          toPage<Json>(
            await this.#api.custom.listCustomObjectForAllNamespaces(
              { ...KUBEVIRT, resourcePlural: "kubevirts" },
              options,
            ),
          ),
        { orNoSuchResource: true },
      ),
    );
    const [kubevirt] = found?.items ?? [];
    const migrations = kubevirt?.spec?.configuration?.migrations;
    const name = `KubeVirt ${text(kubevirt?.metadata?.namespace)}/${text(kubevirt?.metadata?.name)}`;
    return configView(migrations?.completionTimeoutPerGiB, name);
  }
}

/** Reading the configuration is a courtesy that the cluster's administrator may not grant. */
async function readable<T>(lookup: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await lookup;
  } catch (error) {
    if (isFailure(error, "kubernetesForbidden")) return undefined;
    throw error;
  }
}

function configView(value: unknown, source: string): MigrationConfigView | undefined {
  const completionTimeoutPerGiB = count(value);
  return completionTimeoutPerGiB === undefined ? undefined : { completionTimeoutPerGiB, source };
}

/** @param object a VirtualMachineInstance */
export function vmiView(object: Json): VmiView {
  const { metadata, spec, status } = object ?? {};
  const domain = spec?.domain;
  const state = status?.migrationState;
  return {
    uid: text(metadata?.uid) ?? "",
    namespace: text(metadata?.namespace) ?? "",
    name: text(metadata?.name) ?? "",
    node: text(status?.nodeName) || undefined,
    phase: text(status?.phase) ?? "",
    memoryBytes:
      parseQuantity(status?.memory?.guestCurrent) ??
      parseQuantity(domain?.memory?.guest) ??
      parseQuantity(domain?.resources?.requests?.memory),
    migrationPolicy: text(state?.migrationPolicyName) || undefined,
    migrationState: state === undefined ? undefined : migrationState(state),
  };
}

function migrationState(state: NonNullable<Json>): MigrationStateView {
  const flag = (value: unknown) => value === true;
  return {
    migrationUid: text(state.migrationUid),
    sourceNode: text(state.sourceNode) || undefined,
    targetNode: text(state.targetNode) || undefined,
    started: time(state.startTimestamp),
    ended: time(state.endTimestamp),
    completed: flag(state.completed),
    failed: flag(state.failed),
    abortRequested: flag(state.abortRequested),
    failureReason: text(state.failureReason) || undefined,
    mode: text(state.mode) || undefined,
    completionTimeoutPerGiB: count(state.migrationConfiguration?.completionTimeoutPerGiB),
  };
}

/** @param object a VirtualMachineInstanceMigration */
export function migrationView(object: Json): MigrationView {
  const { metadata, status } = object ?? {};
  const transitions: unknown = status?.phaseTransitionTimestamps;
  const last = (Array.isArray(transitions) ? (transitions as Json[]) : []).find((entry) =>
    ["Succeeded", "Failed"].includes(text(entry?.phase) ?? ""),
  );
  return {
    name: text(metadata?.name) ?? "",
    uid: text(metadata?.uid) ?? "",
    phase: text(status?.phase) ?? "",
    created: time(metadata?.creationTimestamp) ?? 0,
    completed: time(last?.phaseTransitionTimestamp) ?? time(status?.migrationState?.endTimestamp),
    failureReason: text(status?.migrationState?.failureReason) || undefined,
  };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function time(value: unknown): number | undefined {
  const ms = Date.parse(text(value) ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}
