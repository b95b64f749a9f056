import { systemClock } from "../../domain/clock.ts";
import { toDriverError } from "../../domain/errors/driver-error.ts";
import { KubernetesApi } from "../../kubernetes/api.ts";
import { CredentialSource } from "../../kubernetes/credentials.ts";
import { listAll, PAGE_LIMIT, toPage } from "../../kubernetes/list.ts";
import { ApiTransport } from "../../kubernetes/transport.ts";
import type { DiagnoseContext } from "../context.ts";
import { type Known, known, notAsked } from "../known.ts";

/** A VolumeAttachment of this driver, of any node. */
export interface AttachmentFacts {
  readonly name: string;
  readonly node: string;
  readonly pv: string | undefined;
  readonly attached: boolean;
  readonly deleting: boolean;
  /** What attaching or detaching failed with last. */
  readonly error: string | undefined;
  /** Of the publish context: NQN, address, port, size in bytes. */
  readonly nqn: string | undefined;
  readonly address: string | undefined;
  readonly port: number | undefined;
  readonly sizeBytes: number | undefined;
}

/** A PersistentVolume of this driver. */
export interface PersistentVolumeFacts {
  readonly name: string;
  readonly handle: string;
  readonly claim: string | undefined;
  readonly phase: string;
  readonly volumeMode: "Block" | "Filesystem";
  readonly deleting: boolean;
}

/** A pod on this node that uses a claim. */
export interface PodFacts {
  /** `namespace/name` */
  readonly name: string;
  readonly uid: string;
  readonly phase: string;
  readonly terminating: boolean;
  /** `namespace/name` of the claims. */
  readonly claims: readonly string[];
}

/** The CSINode object of this node. `nodeId` is undefined if the driver is not in it. */
export interface CsiNodeFacts {
  readonly exists: boolean;
  readonly nodeId: string | undefined;
}

/** What the API server says; each question by itself, as credentials may allow only some. */
export interface ClusterFacts {
  readonly server: string;
  readonly attachments: Known<readonly AttachmentFacts[]>;
  readonly persistentVolumes: Known<readonly PersistentVolumeFacts[]>;
  readonly csiNode: Known<CsiNodeFacts>;
  readonly pods: Known<readonly PodFacts[]>;
}

const CALL_DEADLINE_MS = 4_000;

/**
 * Asks the API server. Lists are read once; nothing is watched.
 * @throws kubernetesConfigUnusable
 */
export async function clusterFacts(
  { config }: DiagnoseContext,
  signal: AbortSignal,
): Promise<Known<ClusterFacts>> {
  if (config.orchestrator === "none") return notAsked("--orchestrator none");
  const k8s = await import("@kubernetes/client-node");
  const { kubeconfig, driverName, nodeId } = config;
  const source =
    kubeconfig === undefined
      ? ({ kind: "in-cluster" } as const)
      : ({ kind: "kubeconfig", path: kubeconfig } as const);
  const credentials = new CredentialSource(k8s, source, systemClock);
  await credentials.current();
  const transport = new ApiTransport(credentials, 4);
  const api = new KubernetesApi(k8s, transport, systemClock);
  const asked = async <T>(resource: string, run: () => Promise<T>): Promise<Known<T>> => {
    try {
      return known(
        await api.call({ verb: "list", resource }, signal, () => run(), { timeoutMs: CALL_DEADLINE_MS }),
      );
    } catch (error) {
      const failed = toDriverError(error);
      return { state: "unknown", reason: failed.summary, error: failed };
    }
  };
  const page = (next: string | undefined) => ({ limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) });
  const { storage, core } = api;
  try {
    const [attachments, persistentVolumes, csiNode, pods] = await Promise.all([
      asked("volumeattachments", async () => {
        const { items } = await listAll((next) =>
          api.attempt(signal, async (options) =>
            toPage(await storage.listVolumeAttachment(page(next), options)),
          ),
        );
        return items.flatMap((item) => (item.spec?.attacher === driverName ? [attachmentFacts(item)] : []));
      }),
      asked("persistentvolumes", async () => {
        const { items } = await listAll((next) =>
          api.attempt(signal, async (options) =>
            toPage(await core.listPersistentVolume(page(next), options)),
          ),
        );
        return items.flatMap((item) => (item.spec?.csi?.driver === driverName ? [volumeFacts(item)] : []));
      }),
      asked("csinodes", async (): Promise<CsiNodeFacts> => {
        const call = { verb: "get", resource: `csinode ${nodeId}` } as const;
        const found = await api.find(
          call,
          signal,
          (options) => storage.readCSINode({ name: nodeId }, options),
          {
            timeoutMs: CALL_DEADLINE_MS,
          },
        );
        const entry = found?.spec.drivers.find(({ name }) => name === driverName);
        return { exists: found !== undefined, nodeId: entry?.nodeID };
      }),
      asked("pods of this node", async () => {
        const fieldSelector = `spec.nodeName=${nodeId}`;
        const { items } = await listAll((next) =>
          api.attempt(signal, async (options) =>
            toPage(await core.listPodForAllNamespaces({ ...page(next), fieldSelector }, options)),
          ),
        );
        return items
          .filter(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed")
          .map(podFacts)
          .filter(({ claims }) => claims.length > 0);
      }),
    ]);
    return known({ server: transport.server, attachments, persistentVolumes, csiNode, pods });
  } finally {
    transport.close();
  }
}

type Attachment = Awaited<ReturnType<KubernetesApi["storage"]["listVolumeAttachment"]>>["items"][number];
type PersistentVolume = Awaited<ReturnType<KubernetesApi["core"]["listPersistentVolume"]>>["items"][number];
type Pod = Awaited<ReturnType<KubernetesApi["core"]["listPodForAllNamespaces"]>>["items"][number];

function attachmentFacts({ metadata, spec, status }: Attachment): AttachmentFacts {
  const context = status?.attachmentMetadata ?? {};
  const number = (text: string | undefined): number | undefined =>
    text !== undefined && /^\d+$/.test(text) ? Number(text) : undefined;
  return {
    name: metadata?.name ?? "",
    node: spec.nodeName,
    pv: spec.source.persistentVolumeName,
    attached: status?.attached === true,
    deleting: metadata?.deletionTimestamp !== undefined,
    error: (status?.attachError ?? status?.detachError)?.message?.slice(0, 300),
    nqn: context.nqn,
    address: context.address,
    port: number(context.port),
    sizeBytes: number(context.sizeBytes),
  };
}

function volumeFacts({ metadata, spec, status }: PersistentVolume): PersistentVolumeFacts {
  const claim = spec?.claimRef;
  return {
    name: metadata?.name ?? "",
    handle: spec?.csi?.volumeHandle ?? "",
    claim: claim?.name === undefined ? undefined : `${claim.namespace}/${claim.name}`,
    phase: status?.phase ?? "Pending",
    volumeMode: spec?.volumeMode === "Block" ? "Block" : "Filesystem",
    deleting: metadata?.deletionTimestamp !== undefined,
  };
}

function podFacts({ metadata, spec, status }: Pod): PodFacts {
  const namespace = metadata?.namespace ?? "";
  const claims = (spec?.volumes ?? []).flatMap(({ name, persistentVolumeClaim, ephemeral }) =>
    persistentVolumeClaim !== undefined
      ? [`${namespace}/${persistentVolumeClaim.claimName}`]
      : ephemeral !== undefined
        ? [`${namespace}/${metadata?.name}-${name}`]
        : [],
  );
  return {
    name: `${namespace}/${metadata?.name ?? ""}`,
    uid: metadata?.uid ?? "",
    phase: status?.phase ?? "Unknown",
    terminating: metadata?.deletionTimestamp !== undefined,
    claims,
  };
}
