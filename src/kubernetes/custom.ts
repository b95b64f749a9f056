import type { KubernetesApi } from "./api.ts";
import { listAll, PAGE_LIMIT, type RawList, toPage } from "./list.ts";

/** A custom resource, of which nothing is certain. */
export type Json = { readonly [key: string]: Json } | undefined;

/** Which custom resources are listed. */
export interface CustomList {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  /** undefined: those of the whole cluster. */
  readonly namespace: string | undefined;
  readonly labelSelector?: string | undefined;
}

/** Every custom resource of a list; undefined when the cluster has no such CRD. @throws as `KubernetesApi.call` */
export async function listCustom(
  api: KubernetesApi,
  { group, version, plural, namespace, labelSelector }: CustomList,
  signal: AbortSignal,
): Promise<readonly Json[] | undefined> {
  const { custom } = api;
  const where = namespace === undefined ? "" : ` in namespace ${namespace}`;
  const selected = labelSelector === undefined ? {} : { labelSelector };
  const found = await api.find(
    { verb: "list", resource: `${plural}.${group}${where}` },
    signal,
    (options) =>
      listAll(async (next) => {
        const page = { limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) };
        const params = { group, version, plural, ...selected, ...page };
        const list: RawList<Json> =
          namespace === undefined
            ? await custom.listClusterCustomObject(params, options)
            : await custom.listNamespacedCustomObject({ ...params, namespace }, options);
        return toPage(list);
      }),
    { orNoSuchResource: true },
  );
  return found?.items;
}

/** A value as list; empty when it is none. */
export function list(value: unknown): readonly Json[] {
  return Array.isArray(value) ? value : [];
}

/** A value as text; undefined when it is none. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** A value as whole number from 0 on; undefined when it is none. */
export function count(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** A value as time, milliseconds since the Unix epoch; undefined when it is none. */
export function time(value: unknown): number | undefined {
  const ms = Date.parse(text(value) ?? "");
  return Number.isNaN(ms) ? undefined : ms;
}
