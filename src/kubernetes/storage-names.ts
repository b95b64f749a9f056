import type { KubernetesApi } from "./api.ts";
import { type Json, listCustom, text } from "./custom.ts";
import { contentView } from "./volume-snapshots.ts";

/** A PersistentVolume that names a volume. */
export interface NamedVolume {
  /** Of the PersistentVolume. */
  readonly name: string;
  readonly driver: string;
  readonly handle: string;
}

/** A VolumeSnapshotContent that names a snapshot. */
export interface NamedSnapshot {
  /** Of the VolumeSnapshotContent. */
  readonly name: string;
  /** Every handle that it shows, and before it shows one the id that its snapshot will have. */
  readonly handles: readonly string[];
  /** Handle of the volume that it is cut of; undefined: it does not say it. */
  readonly volume: string | undefined;
}

/**
 * What a cluster knows by name, whatever the driver's name is there: a volume of a second installation, or of a driver that was
 * renamed, is no orphan. Errors as ClusterReader's.
 */
export interface StorageNames {
  volumes(signal: AbortSignal): Promise<readonly NamedVolume[]>;
  /** undefined: the cluster does not serve VolumeSnapshots. */
  snapshots(signal: AbortSignal): Promise<readonly NamedSnapshot[] | undefined>;
}

const CONTENTS = {
  group: "snapshot.storage.k8s.io",
  version: "v1",
  plural: "volumesnapshotcontents",
  namespace: undefined,
} as const;

/** The names through the API. */
export function storageNames(api: KubernetesApi): StorageNames {
  return {
    volumes: async (signal) => {
      const all = await api.list("persistentvolumes", signal, (page, options) =>
        api.core.listPersistentVolume(page, options),
      );
      return all.flatMap(({ metadata, spec }) =>
        spec?.csi === undefined
          ? []
          : [{ name: metadata?.name ?? "", driver: spec.csi.driver, handle: spec.csi.volumeHandle }],
      );
    },
    snapshots: async (signal) => {
      const found = await listCustom(api, CONTENTS, signal);
      return found?.map((object: Json) => {
        const { name, handle, volume } = contentView(object);
        const given = text(object?.spec?.source?.snapshotHandle);
        return {
          name,
          handles: given === undefined || given === handle ? [handle] : [handle, given],
          volume,
        };
      });
    },
  };
}
