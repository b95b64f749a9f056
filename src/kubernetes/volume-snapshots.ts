import { failure } from "../domain/errors/driver-error.ts";
import { snapshotIdFromName } from "../domain/snapshot-id.ts";
import type { KubernetesApi } from "./api.ts";
import { ApiStatusError, toFailure } from "./api-error.ts";
import { count, type Json, listCustom, text, time } from "./custom.ts";
import { isObjectName } from "./names.ts";

const SNAPSHOT = { group: "snapshot.storage.k8s.io", version: "v1" } as const;
const CONTENTS = "volumesnapshotcontents";
const SNAPSHOTS = "volumesnapshots";

/** A VolumeSnapshotContent of this driver. */
export interface SnapshotContentView {
  readonly name: string;
  /**
   * Snapshot handle. Before the content shows one it is the id, without the label, that external-snapshotter's name of the snapshot,
   * `snapshot-<UID>`, leads to.
   */
  readonly handle: string;
  /** Handle of the volume that was cut; undefined for a content that was made by hand. */
  readonly volume: string | undefined;
  /** The VolumeSnapshot that it is bound to; that object may be gone. */
  readonly snapshot: { readonly namespace: string; readonly name: string };
  /** `Delete`, or `Retain`: then the snapshot outlives its objects. */
  readonly policy: string;
  readonly ready: boolean;
  readonly deleting: boolean;
  /** Size of the smallest volume that can be made from it, bytes; undefined before the cut. */
  readonly restoreBytes: bigint | undefined;
  /** Why the last call for it failed. */
  readonly error: string | undefined;
}

/** A VolumeSnapshot. */
export interface VolumeSnapshotView {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The claim that it is of; undefined for one that was bound to an existing content by hand. */
  readonly claim: string | undefined;
  /** The content that it is bound to; undefined before. */
  readonly content: string | undefined;
  readonly ready: boolean;
  readonly deleting: boolean;
  /** Of the object, by the clock of Kubernetes: milliseconds since the Unix epoch. */
  readonly createdAt: number | undefined;
  /** Of the cut, by the clock of the RDS: milliseconds since the Unix epoch; undefined before. */
  readonly cutAt: number | undefined;
}

/** The snapshots of a cluster. Errors as ClusterReader's. A cluster without the CRDs of external-snapshotter has no snapshots: undefined. */
export interface SnapshotObjects {
  /** The VolumeSnapshotContents of this driver. */
  contents(signal: AbortSignal): Promise<readonly SnapshotContentView[] | undefined>;
  /** The VolumeSnapshots of a namespace, of any driver. @param selector of labels; undefined selects all */
  inNamespace(
    namespace: string,
    selector: string | undefined,
    signal: AbortSignal,
  ): Promise<readonly VolumeSnapshotView[] | undefined>;
  /** Whether a VolumeSnapshotContent is one of this driver; undefined when there is none of this name. */
  isOurContent(name: string, signal: AbortSignal): Promise<boolean | undefined>;
  /**
   * Deletes a VolumeSnapshot, and never another object of its name: then it is `replaced`.
   * @returns `absent`: it was gone already
   */
  delete(
    snapshot: Pick<VolumeSnapshotView, "namespace" | "name" | "uid">,
    signal: AbortSignal,
  ): Promise<"deleted" | "absent" | "replaced">;
}

/** The snapshots through the API. @param driver CSI driver name */
export function snapshotObjects(api: KubernetesApi, driver: string): SnapshotObjects {
  const { custom } = api;
  return {
    contents: async (signal) => {
      const found = await listCustom(api, { ...SNAPSHOT, plural: CONTENTS, namespace: undefined }, signal);
      return found?.filter((object) => text(object?.spec?.driver) === driver).map(contentView);
    },
    inNamespace: async (namespace, labelSelector, signal) => {
      // Another text would name another resource.
      if (!isObjectName(namespace))
        throw failure("fieldInvalid", { field: "namespace", reason: JSON.stringify(namespace) });
      const found = await listCustom(
        api,
        { ...SNAPSHOT, plural: SNAPSHOTS, namespace, labelSelector },
        signal,
      );
      return found?.map(snapshotView);
    },
    isOurContent: async (name, signal) => {
      if (!isObjectName(name)) return undefined;
      const found: Json = await api.find(
        { verb: "get", resource: `${CONTENTS}.${SNAPSHOT.group} ${name}` },
        signal,
        (options) => custom.getClusterCustomObject({ ...SNAPSHOT, plural: CONTENTS, name }, options),
      );
      return found === undefined ? undefined : text(found.spec?.driver) === driver;
    },
    delete: async ({ namespace, name, uid }, signal) => {
      const call = { verb: "delete", resource: `${SNAPSHOTS}.${SNAPSHOT.group} ${namespace}/${name}` };
      const body = { preconditions: { uid } };
      try {
        await api.attempt(signal, (options) =>
          custom.deleteNamespacedCustomObject(
            { ...SNAPSHOT, plural: SNAPSHOTS, namespace, name, body },
            options,
          ),
        );
        return "deleted";
      } catch (error) {
        if (error instanceof ApiStatusError) {
          if (error.status === 404 && error.details?.reason === "NotFound") return "absent";
          if (error.status === 409) return "replaced";
        }
        throw toFailure(error, call, api.transport.server, signal);
      }
    },
  };
}

/** A VolumeSnapshotContent as the API shows it. */
export function contentView(object: Json): SnapshotContentView {
  const { metadata, spec, status } = object ?? {};
  const of = spec?.volumeSnapshotRef;
  const size = count(status?.restoreSize);
  return {
    name: text(metadata?.name) ?? "",
    handle:
      (text(status?.snapshotHandle) ?? text(spec?.source?.snapshotHandle)) ||
      snapshotIdFromName(`snapshot-${text(of?.uid) ?? ""}`),
    volume: text(spec?.source?.volumeHandle) || undefined,
    snapshot: { namespace: text(of?.namespace) ?? "", name: text(of?.name) ?? "" },
    policy: text(spec?.deletionPolicy) ?? "",
    ready: isTrue(status?.readyToUse),
    deleting: metadata?.deletionTimestamp !== undefined,
    restoreBytes: size === undefined ? undefined : BigInt(size),
    error: text(status?.error?.message),
  };
}

function snapshotView(object: Json): VolumeSnapshotView {
  const { metadata, spec, status } = object ?? {};
  return {
    namespace: text(metadata?.namespace) ?? "",
    name: text(metadata?.name) ?? "",
    uid: text(metadata?.uid) ?? "",
    claim: text(spec?.source?.persistentVolumeClaimName) || undefined,
    content: text(status?.boundVolumeSnapshotContentName) || undefined,
    ready: isTrue(status?.readyToUse),
    deleting: metadata?.deletionTimestamp !== undefined,
    createdAt: time(metadata?.creationTimestamp),
    cutAt: time(status?.creationTime),
  };
}

function isTrue(value: unknown): boolean {
  return value === true;
}
