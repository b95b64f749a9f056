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
export type ShardStore = ReturnType<typeof configMapShards>;

/** Shards as ConfigMaps `<prefix>-<shard>` of one namespace. All methods throw as ClusterReader's. */
export function configMapShards(api: KubernetesApi, namespace: string, prefix: string) {
  const { core } = api;
  return {
    /** Undefined when nothing was ever stored there. */
    read: async (shard: string, signal: AbortSignal): Promise<StoredShard | undefined> => {
      const name = `${prefix}-${shard}`;
      const found = await api.find(
        { verb: "get", resource: `configmap ${namespace}/${name}` },
        signal,
        (options) => core.readNamespacedConfigMap({ namespace, name }, options),
      );
      return found && storedShard(found);
    },
    /**
     * Stores the data in place of the shard that was read.
     * @param before as read; undefined when there was nothing
     * @throws kubernetesUnavailable also when somebody else wrote first: read again
     */
    write: async (
      shard: string,
      data: Readonly<Record<string, string>>,
      before: StoredShard | undefined,
      signal: AbortSignal,
    ): Promise<StoredShard> => {
      const name = `${prefix}-${shard}`;
      const isNew = before === undefined;
      const body: V1ConfigMap = {
        apiVersion: "v1",
        kind: "ConfigMap",
        metadata: {
          namespace,
          name,
          labels: { [MANAGED_BY]: "rds-csi" },
          ...(isNew ? {} : { resourceVersion: before.version }),
        },
        data: { ...data },
      };
      const call = { verb: isNew ? "create" : "update", resource: `configmap ${namespace}/${name}` };
      const stored = await api.call(call, signal, (options) =>
        isNew
          ? core.createNamespacedConfigMap({ namespace, body }, options)
          : core.replaceNamespacedConfigMap({ namespace, name, body }, options),
      );
      return storedShard(stored);
    },
  };
}

function storedShard({ metadata, data }: V1ConfigMap): StoredShard {
  return { data: data ?? {}, version: metadata?.resourceVersion ?? "" };
}
