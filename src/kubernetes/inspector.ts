import type {
  CoreV1Event,
  V1PersistentVolume,
  V1PersistentVolumeClaim,
  V1StorageClass,
  V1VolumeAttachment,
} from "@kubernetes/client-node";
import type { ClusterInspector } from "../inspect/cluster-inspector.ts";
import type {
  AttachErrorFacts,
  AttachmentFacts,
  ClaimFacts,
  EventFacts,
  PvFacts,
  StorageClassFacts,
} from "../inspect/facts.ts";
import type { CallOptions, KubernetesApi } from "./api.ts";
import { toFailure } from "./api-error.ts";
import { listAll, PAGE_LIMIT, type Page, toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import { parseQuantity } from "./quantity.ts";
import { attachmentView, persistentVolumeView } from "./views.ts";

/** Details of volumes from the API server, for `volumes show` and diagnosis. */
export class ApiClusterInspector implements ClusterInspector {
  readonly #api: KubernetesApi;
  readonly #driver: string;

  /** @param driver CSI driver name: objects of other drivers are left out */
  constructor(api: KubernetesApi, driver: string) {
    this.#api = api;
    this.#driver = driver;
  }

  async persistentVolumes(signal: AbortSignal): Promise<readonly PvFacts[]> {
    const all = await this.#list<V1PersistentVolume>("persistentvolumes", signal, async (paged, options) =>
      toPage(await this.#api.core.listPersistentVolume(paged, options)),
    );
    return all.flatMap((object) => pvFacts(this.#driver, object) ?? []);
  }

  async volumeAttachments(signal: AbortSignal): Promise<readonly AttachmentFacts[]> {
    const all = await this.#list<V1VolumeAttachment>("volumeattachments", signal, async (paged, options) =>
      toPage(await this.#api.storage.listVolumeAttachment(paged, options)),
    );
    return all.flatMap((object) => attachmentFacts(this.#driver, object) ?? []);
  }

  async claim(namespace: string, name: string, signal: AbortSignal): Promise<ClaimFacts | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    const found = await this.#api.find(
      { verb: "get", resource: `persistentvolumeclaim ${namespace}/${name}` },
      signal,
      (options) => this.#api.core.readNamespacedPersistentVolumeClaim({ namespace, name }, options),
    );
    return found === undefined ? undefined : claimFacts(found);
  }

  async storageClass(name: string, signal: AbortSignal): Promise<StorageClassFacts | undefined> {
    if (!isObjectName(name)) return undefined;
    const found = await this.#api.find({ verb: "get", resource: `storageclass ${name}` }, signal, (options) =>
      this.#api.storage.readStorageClass({ name }, options),
    );
    return found === undefined ? undefined : storageClassFacts(found);
  }

  async events(
    namespace: string,
    kind: string,
    name: string,
    signal: AbortSignal,
  ): Promise<readonly EventFacts[]> {
    if (!isObjectName(namespace) || !isObjectName(name)) return [];
    const fieldSelector = `involvedObject.kind=${kind},involvedObject.name=${name}`;
    const resource = `events in namespace ${namespace}`;
    const all = await this.#list<CoreV1Event>(resource, signal, async (paged, options) =>
      toPage(await this.#api.core.listNamespacedEvent({ namespace, fieldSelector, ...paged }, options)),
    );
    return all.map(eventFacts);
  }

  async #list<T>(
    resource: string,
    signal: AbortSignal,
    page: (paged: { limit: number; _continue?: string }, options: CallOptions) => Promise<Page<T>>,
  ): Promise<readonly T[]> {
    try {
      const { items } = await listAll<T>((next) =>
        this.#api.attempt(signal, (options) =>
          page({ limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) }, options),
        ),
      );
      return items;
    } catch (error) {
      throw toFailure(error, { verb: "list", resource }, this.#api.transport.server, signal);
    }
  }
}

function pvFacts(driver: string, object: V1PersistentVolume): PvFacts | undefined {
  const view = persistentVolumeView(driver, object);
  if (view === undefined) return undefined;
  const { capacity, persistentVolumeReclaimPolicy } = object.spec ?? {};
  return {
    ...view,
    capacityBytes: parseQuantity(capacity?.storage),
    reclaimPolicy: persistentVolumeReclaimPolicy ?? "Retain",
    createdAt: time(object.metadata?.creationTimestamp) || undefined,
    readOnly: object.spec?.csi?.readOnly === true ? true : undefined,
  };
}

function attachmentFacts(driver: string, object: V1VolumeAttachment): AttachmentFacts | undefined {
  const view = attachmentView(driver, object);
  if (view === undefined) return undefined;
  const { status } = object;
  return {
    ...view,
    metadata: status?.attachmentMetadata ?? {},
    attachError: errorFacts(status?.attachError),
    detachError: errorFacts(status?.detachError),
  };
}

function errorFacts(error: { message?: string; time?: Date } | undefined): AttachErrorFacts | undefined {
  if (error === undefined) return undefined;
  const at = time(error.time);
  return { message: error.message ?? "", time: at === 0 ? undefined : new Date(at).toISOString() };
}

function claimFacts({ metadata, spec, status }: V1PersistentVolumeClaim): ClaimFacts {
  return {
    namespace: metadata?.namespace ?? "",
    name: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    phase: status?.phase ?? "Pending",
    pvName: spec?.volumeName || undefined,
    requestedBytes: parseQuantity(spec?.resources?.requests?.storage),
    capacityBytes: parseQuantity(status?.capacity?.storage),
    deleting: metadata?.deletionTimestamp !== undefined,
  };
}

function storageClassFacts({
  metadata,
  provisioner,
  reclaimPolicy,
  parameters,
}: V1StorageClass): StorageClassFacts {
  return {
    name: metadata?.name ?? "",
    provisioner,
    reclaimPolicy: reclaimPolicy ?? "Delete",
    parameters: parameters ?? {},
  };
}

function eventFacts(event: CoreV1Event): EventFacts {
  const { involvedObject, series, metadata } = event;
  const at = [event.lastTimestamp, series?.lastObservedTime, event.eventTime, metadata?.creationTimestamp];
  return {
    about: `${involvedObject?.kind ?? ""}/${involvedObject?.name ?? ""}`,
    type: event.type ?? "Normal",
    reason: event.reason ?? "",
    message: event.message ?? "",
    count: series?.count ?? event.count ?? 1,
    at: time(at.find((each) => each !== undefined && each !== null)),
  };
}

/** Milliseconds since the epoch, 0 when it is no time. The library gives dates or text. */
function time(value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : Date.parse(String(value ?? ""));
  return Number.isNaN(ms) ? 0 : ms;
}
