import { afterAll, beforeAll } from "bun:test";
import { join } from "node:path";
import { type Api, isReady, type Thing } from "./api.ts";
import { BUSYBOX } from "./images.ts";
import type { Place } from "./machine.ts";
import { ASKED_FOR } from "./node.ts";
import { attempt, type Ran, type RunOptions, until } from "./run.ts";

/** A cluster, as far as a namespace of tests needs it. */
export interface Provided {
  readonly api: Api;
  readonly place: Place;
  /** For programs of this computer. */
  readonly kubeconfig: string;
  /** Milliseconds that a pod may take to start or end, or an event to come; a minute if not given. */
  readonly waitMs?: number;
  /** Runs kubectl on this computer. */
  kubectl(args: readonly string[], options?: RunOptions): Promise<string>;
}

let provided: Provided | undefined;

/** Names the cluster of scopes that are made without one. */
export function provideCluster(cluster: Provided): void {
  provided = cluster;
}

function clusterOfRun(): Provided {
  if (provided === undefined) throw new Error("no cluster was provided");
  return provided;
}

export interface ClaimOptions {
  readonly size?: string;
  readonly storageClass?: string;
  readonly mode?: "ReadWriteOnce" | "ReadWriteOncePod" | "ReadWriteMany" | "ReadOnlyMany";
  readonly block?: boolean;
  readonly volumeName?: string;
  /** A VolumeSnapshot or claim of this namespace that it is made from. */
  readonly source?: { readonly kind: "VolumeSnapshot" | "PersistentVolumeClaim"; readonly name: string };
}

export interface PodOptions {
  /** Of this namespace, each at /data, /data1, ... or as block devices /dev/vol, /dev/vol1, ... */
  readonly claims?: readonly string[];
  readonly block?: boolean;
  readonly node?: string;
  readonly readOnly?: boolean;
  /** Seconds that its processes have after an ordinary deletion; 0, if not given: it goes from the API at once. */
  readonly graceSeconds?: number;
  /** A shell script; without it the pod sleeps. */
  readonly script?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owners?: readonly Thing[];
  /** Volumes in place of claims, with their names. */
  readonly volumes?: readonly Thing[];
  /** Of the pod's container, BUSYBOX if not given. */
  readonly image?: string;
}

/** A namespace of a test file, with its storage classes. Everything in it is deleted at the end, and it is looked that nothing stays on the RDS. */
export class Scope {
  readonly namespace: string;
  readonly #classes: string[] = [];
  readonly #cluster: () => Provided;

  /** @param cluster asked when the first test begins, the run's own if not given */
  constructor(namespace: string, cluster: () => Provided = clusterOfRun) {
    this.namespace = namespace;
    this.#cluster = cluster;
    beforeAll(async () => {
      await this.api.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    });
    afterAll(() => this.#end(), 500_000);
  }

  get #waitMs(): number {
    return this.#cluster().waitMs ?? 120_000;
  }

  get api(): Api {
    return this.#cluster().api;
  }

  async #end(): Promise<void> {
    const { api, namespace } = this;
    // A test that failed may have left these, which make pods anew and keep them.
    for (const kind of ["StatefulSet", "Deployment", "PodDisruptionBudget"]) {
      for (const { metadata } of await api.list(kind, namespace))
        await api.delete(kind, metadata.name, namespace);
    }
    for (const { metadata } of await api.list("Pod", namespace)) {
      await api.delete("Pod", metadata.name, namespace, "?gracePeriodSeconds=0");
    }
    const pods = async () => {
      const all = await api.list("Pod", namespace);
      for (const { metadata } of all.filter((pod) => pod.metadata.deletionTimestamp === undefined)) {
        await api.delete("Pod", metadata.name, namespace, "?gracePeriodSeconds=0");
      }
      return all;
    };
    await until("the end of all pods", async () => (await pods()).length === 0, { timeoutMs: this.#waitMs });
    for (const { metadata } of await api.list("PersistentVolumeClaim", namespace)) {
      await api.delete("PersistentVolumeClaim", metadata.name, namespace);
    }
    const left = async () =>
      (await api.list("PersistentVolume")).filter(({ spec }) => spec.claimRef?.namespace === namespace);
    await until("the end of all volumes", async () => (await left()).length === 0, {
      timeoutMs: 120_000,
      explain: async () =>
        JSON.stringify((await left()).map(({ metadata, status }) => [metadata.name, status])),
    });
    for (const name of this.#classes) await api.delete("StorageClass", name);
    await api.delete("Namespace", namespace);
    // Kubernetes takes its time for it on a busy machine.
    await api.awaitGone("Namespace", namespace, undefined, 240_000);
  }

  /** A storage class with a name of its own. @returns the name */
  async storageClass(
    suffix: string,
    parameters: Readonly<Record<string, string>>,
    more: Thing = {},
  ): Promise<string> {
    const name = `${this.namespace}-${suffix}`;
    this.#classes.push(name);
    await this.api.apply({
      apiVersion: "storage.k8s.io/v1",
      kind: "StorageClass",
      metadata: { name },
      provisioner: "rds.csi.srvlab.io",
      parameters,
      reclaimPolicy: "Delete",
      volumeBindingMode: "Immediate",
      allowVolumeExpansion: true,
      ...more,
    });
    return name;
  }

  claim(name: string, options: ClaimOptions = {}): Promise<Thing> {
    const {
      size = "64Mi",
      storageClass = "rds",
      mode = "ReadWriteOnce",
      block = false,
      volumeName,
      source,
    } = options;
    const group = source?.kind === "VolumeSnapshot" ? { apiGroup: "snapshot.storage.k8s.io" } : {};
    return this.api.apply({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: this.namespace },
      spec: {
        accessModes: [mode],
        storageClassName: storageClass,
        resources: { requests: { storage: size } },
        volumeMode: block ? "Block" : "Filesystem",
        ...(volumeName === undefined ? {} : { volumeName }),
        ...(source === undefined ? {} : { dataSource: { ...group, ...source } }),
      },
    });
  }

  /** Waits until a claim is bound. @returns its PersistentVolume */
  async bound(name: string): Promise<Thing> {
    const claim = await this.api.await(
      "PersistentVolumeClaim",
      name,
      this.namespace,
      "bound",
      ({ status }) => status.phase === "Bound",
      this.#waitMs,
    );
    return await this.api.get("PersistentVolume", claim.spec.volumeName);
  }

  pod(name: string, options: PodOptions = {}): Promise<Thing> {
    const { claims = [], block = false, node, readOnly = false, script, labels = {}, owners = [] } = options;
    const names = claims.map((_, index) => `v${index}`);
    const own = claims.map((claimName, index) => ({
      name: names[index],
      persistentVolumeClaim: { claimName, readOnly },
    }));
    const volumes = options.volumes ?? own;
    const places = volumes.map((volume, index) =>
      block
        ? { name: volume.name, devicePath: `/dev/vol${index || ""}` }
        : { name: volume.name, mountPath: `/data${index || ""}`, readOnly },
    );
    return this.api.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: this.namespace, labels, ownerReferences: owners },
      spec: {
        terminationGracePeriodSeconds: options.graceSeconds ?? 0,
        restartPolicy: script === undefined ? "Always" : "Never",
        enableServiceLinks: false,
        automountServiceAccountToken: false,
        ...(node === undefined
          ? {}
          : { nodeSelector: { "kubernetes.io/hostname": node }, tolerations: [ASKED_FOR] }),
        containers: [
          {
            name: "c",
            image: options.image ?? BUSYBOX,
            imagePullPolicy: "Never",
            command: script === undefined ? ["sleep", "2147483647"] : ["sh", "-ec", script],
            ...(block ? { volumeDevices: places } : { volumeMounts: places }),
          },
        ],
        volumes,
      },
    });
  }

  ready(name: string, timeoutMs = this.#waitMs): Promise<Thing> {
    return this.api.await("Pod", name, this.namespace, "ready", isReady, timeoutMs);
  }

  /** Waits for the end of a pod with a script. @returns what it wrote */
  async ended(name: string): Promise<string> {
    const { status } = await this.api.await("Pod", name, this.namespace, "ended", (pod) =>
      ["Succeeded", "Failed"].includes(pod.status?.phase),
    );
    const log = await this.#cluster().kubectl(["logs", "-n", this.namespace, name]);
    if (status.phase !== "Succeeded") throw new Error(`pod ${name} failed: ${log}`);
    return log;
  }

  /** Deletes a pod at once and waits until it is gone. */
  async remove(...names: string[]): Promise<void> {
    for (const name of names) await this.api.delete("Pod", name, this.namespace, "?gracePeriodSeconds=0");
    for (const name of names) await this.api.awaitGone("Pod", name, this.namespace, this.#waitMs);
  }

  /** Deletes a claim and waits until its volume is gone too. */
  async drop(name: string): Promise<void> {
    const { spec } = await this.api.get("PersistentVolumeClaim", name, this.namespace);
    await this.api.delete("PersistentVolumeClaim", name, this.namespace);
    await this.api.awaitGone("PersistentVolumeClaim", name, this.namespace);
    // A detach that was refused before is tried again with pauses.
    if (spec.volumeName !== undefined)
      await this.api.awaitGone("PersistentVolume", spec.volumeName, undefined, 180_000);
  }

  /** Runs a shell script in a pod that has to succeed. */
  async shell(pod: string, script: string): Promise<string> {
    return (
      await this.#cluster().kubectl(["exec", "-n", this.namespace, pod, "--", "sh", "-ec", script])
    ).trim();
  }

  /** Runs a shell script in a pod, whatever its exit code. */
  tryShell(pod: string, script: string): Promise<Ran> {
    const args = ["exec", "-n", this.namespace, pod, "--", "sh", "-ec", script];
    const { place, kubeconfig } = this.#cluster();
    return attempt(join(place.programs, "bin/kubectl"), args, { env: { KUBECONFIG: kubeconfig } });
  }

  /** What a user sees of a claim. */
  describeClaim(name: string): Promise<string> {
    return this.#cluster().kubectl(["describe", "pvc", name, "-n", this.namespace]);
  }

  /** Waits for an event about an object. @returns its message */
  async event(
    kind: string,
    name: string,
    reason: string,
    text: RegExp,
    timeoutMs = this.#waitMs,
  ): Promise<string> {
    let seen: Thing[] = [];
    return await until(
      `an event ${reason} with ${text} about ${kind} ${name}`,
      async () => {
        seen = await this.api.events(kind, name, this.namespace);
        return seen.find((event) => event.reason === reason && text.test(event.message))?.message as string;
      },
      { timeoutMs, explain: () => seen.map((event) => `  ${event.reason}: ${event.message}`).join("\n") },
    );
  }
}
