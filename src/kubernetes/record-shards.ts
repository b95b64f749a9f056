import type { V1ConfigMap } from "@kubernetes/client-node";
import type { KubernetesApi } from "./api.ts";

const MANAGED_BY = "app.kubernetes.io/managed-by";

/** Text by keys, as it is stored in one place. */
export interface StoredShard {
  readonly data: Readonly<Record<string, string>>;
  /** Changes with every write. */
  readonly version: string;
}

/** A few places in the cluster where the driver keeps texts. */
export type ShardStore = Pick<ConfigMapShards, "read" | "write">;

/** Shards as ConfigMaps `<prefix>-<shard>` of one namespace. All methods throw as ClusterReader's. */
export class ConfigMapShards {
  readonly #api: KubernetesApi;
  readonly #namespace: string;
  readonly #prefix: string;

  constructor(api: KubernetesApi, namespace: string, prefix: string) {
    this.#api = api;
    this.#namespace = namespace;
    this.#prefix = prefix;
  }

  /** Undefined when nothing was ever stored there. */
  async read(shard: string, signal: AbortSignal): Promise<StoredShard | undefined> {
    const [namespace, name] = [this.#namespace, this.#name(shard)];
    const found = await this.#api.find(
      { verb: "get", resource: `configmap ${namespace}/${name}` },
      signal,
      (options) => this.#api.core.readNamespacedConfigMap({ namespace, name }, options),
    );
    return found === undefined ? undefined : storedShard(found);
  }

  /**
   * Stores the data in place of the shard that was read.
   * @param before as read; undefined when there was nothing
   * @throws kubernetesUnavailable also when somebody else wrote first: read again
   */
  async write(
    shard: string,
    data: Readonly<Record<string, string>>,
    before: StoredShard | undefined,
    signal: AbortSignal,
  ): Promise<StoredShard> {
    const [namespace, name] = [this.#namespace, this.#name(shard)];
    const { core } = this.#api;
    const body: V1ConfigMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: {
        namespace,
        name,
        labels: { [MANAGED_BY]: "rds-csi" },
        ...(before === undefined ? {} : { resourceVersion: before.version }),
      },
      data: { ...data },
    };
    const call = {
      verb: before === undefined ? "create" : "update",
      resource: `configmap ${namespace}/${name}`,
    };
    const stored = await this.#api.call(call, signal, (options) =>
      before === undefined
        ? core.createNamespacedConfigMap({ namespace, body }, options)
        : core.replaceNamespacedConfigMap({ namespace, name, body }, options),
    );
    return storedShard(stored);
  }

  #name(shard: string): string {
    return `${this.#prefix}-${shard}`;
  }
}

function storedShard({ metadata, data }: V1ConfigMap): StoredShard {
  return { data: data ?? {}, version: metadata?.resourceVersion ?? "" };
}
