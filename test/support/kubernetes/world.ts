import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKubernetes, type Kubernetes, type KubernetesOptions } from "../../../src/kubernetes/create.ts";
import type { LogFields, Logger } from "../../../src/observability/log.ts";
import { until as wait } from "../until.ts";
import {
  BUILT_IN,
  FakeApiServer,
  type FakeApiServerOptions,
  KUBEVIRT,
  SNAPSHOTS,
} from "./fake-api-server.ts";

export const DRIVER = "rds.csi.srvlab.io";

/** Never aborts. */
export const forever = new AbortController().signal;

export interface LogLine {
  readonly level: string;
  readonly message: string;
  readonly fields: LogFields | undefined;
}

/** A logger that keeps its lines. */
export function recordingLogger(lines: LogLine[]): Logger {
  const at = (level: string) => (message: string, fields?: LogFields) =>
    void lines.push({ level, message, fields });
  const logger: Logger = {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: () => logger,
  };
  return logger;
}

/** A fake API server and what clients of it are made of. */
export interface World {
  readonly api: FakeApiServer;
  readonly dir: string;
  /** Makes a client; it is closed with the world. */
  client(options?: Partial<KubernetesOptions>): Promise<Kubernetes>;
  stop(): Promise<void>;
}

/** Starts a fake API server with the CRDs of KubeVirt and external-snapshotter. */
export async function startWorld(options: FakeApiServerOptions = {}): Promise<World> {
  const api = await FakeApiServer.start({ resources: [...BUILT_IN, ...KUBEVIRT, ...SNAPSHOTS], ...options });
  const dir = await mkdtemp(join(tmpdir(), "rds-csi-kube-"));
  const clients: Kubernetes[] = [];
  return {
    api,
    dir,
    client: async (given = {}) => {
      const path = await api.writeKubeconfig(join(dir, `kubeconfig-${clients.length}`));
      const client = await createKubernetes({
        source: { kind: "kubeconfig", path },
        driverName: DRIVER,
        instance: "rds-csi-controller-0",
        ...given,
      });
      clients.push(client);
      return client;
    },
    stop: async () => {
      for (const client of clients) await client.close(0);
      await api.stop();
      await rm(dir, { recursive: true });
    },
  };
}

/** As `until`, with a look every 2 ms. */
export const until = (what: string, condition: () => boolean): Promise<void> => wait(what, condition, 2);

/**
 * Lets everything that is under way between client and server finish: both are in this process, so this is a matter of
 * turns of the event loop, not of time.
 */
export async function quiet({ api }: World): Promise<void> {
  for (let turns = 0; turns < 40 || api.busy > 0; turns += 1)
    await new Promise((resolve) => setImmediate(resolve));
}

export function node(name: string): object {
  return { apiVersion: "v1", kind: "Node", metadata: { name }, status: { images: [{ names: ["x"] }] } };
}

export function persistentVolume(name: string, handle: string, extra: Record<string, unknown> = {}): object {
  const { driver = DRIVER, claim = { namespace: "vms", name: `claim-${name}`, uid: `uid-${name}` } } = extra;
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name },
    spec: {
      csi: { driver, volumeHandle: handle },
      accessModes: ["ReadWriteMany"],
      volumeMode: "Block",
      storageClassName: "rds",
      claimRef: claim,
    },
    status: { phase: extra.phase ?? "Bound" },
  };
}

export function volumeAttachment(name: string, onNode: string, attacher = DRIVER): object {
  return {
    apiVersion: "storage.k8s.io/v1",
    kind: "VolumeAttachment",
    metadata: { name },
    spec: { attacher, nodeName: onNode, source: { persistentVolumeName: "pv-1" } },
    status: { attached: true },
  };
}

export function pod(name: string, volumes: readonly object[], phase = "Running", extra: object = {}): object {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "vms", ...extra },
    spec: { nodeName: "node-a", volumes },
    status: { phase },
  };
}

/** The VolumeSnapshot and the content of a snapshot, as external-snapshotter makes them. */
export function volumeSnapshot(name: string, handle: string, more: SnapshotShape = {}): object[] {
  const { namespace = "vms", claim = "disk", labels = {}, driver = DRIVER, ready = true, createdAt } = more;
  const { volume = "csi-1", cutAt = createdAt } = more;
  const content = `snapcontent-${name}`;
  const uid = `uid-${namespace}-${name}`;
  const status = { readyToUse: ready, ...(cutAt === undefined ? {} : { creationTime: cutAt }) };
  return [
    {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshot",
      metadata: { namespace, name, uid, labels, ...(createdAt && { creationTimestamp: createdAt }) },
      spec: { source: { persistentVolumeClaimName: claim } },
      status: { ...status, boundVolumeSnapshotContentName: content },
    },
    {
      apiVersion: "snapshot.storage.k8s.io/v1",
      kind: "VolumeSnapshotContent",
      metadata: { name: content },
      spec: {
        driver,
        deletionPolicy: "Delete",
        source: { volumeHandle: volume },
        volumeSnapshotRef: { namespace, name, uid },
      },
      status: {
        readyToUse: ready,
        restoreSize: 1_048_576,
        ...(handle === "" ? {} : { snapshotHandle: handle }),
      },
    },
  ];
}

/** What may differ in `volumeSnapshot`. */
export interface SnapshotShape {
  readonly namespace?: string;
  readonly claim?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly driver?: string;
  readonly ready?: boolean;
  /** Handle of the source. */
  readonly volume?: string;
  /** By Kubernetes, RFC 3339 */
  readonly createdAt?: string;
  /** By the RDS, RFC 3339; default: createdAt */
  readonly cutAt?: string;
}
