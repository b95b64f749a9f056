import { afterAll, beforeAll } from "bun:test";
import { resolve } from "node:path";
import process from "node:process";
import { type Api, isReady, type Thing } from "./api.ts";
import { Cluster } from "./cluster.ts";
import { canGrowExt4 } from "./grow.ts";
import { BUSYBOX } from "./images.ts";
import { ASKED_FOR } from "./node.ts";
import { attempt, type Ran, until } from "./run.ts";

/** The cluster of this run: scripts/cluster test has started it. */
export const cluster: Cluster = await (async () => {
  const { RDS_CSI_CLUSTER: state, RDS_CSI_CLUSTER_PROGRAMS: programs } = process.env;
  if (state === undefined || programs === undefined)
    throw new Error("there is no cluster: run scripts/cluster test");
  const found = await Cluster.find({ state: resolve(state), programs });
  if (found === undefined) throw new Error(`no cluster runs in ${state}: run scripts/cluster test`);
  return found;
})();
export const api: Api = cluster.api;

/** Whether ext4 can be grown here while it is mounted. */
export const growsExt4: boolean = await canGrowExt4(cluster);

export interface ClaimOptions {
  readonly size?: string;
  readonly storageClass?: string;
  readonly mode?: "ReadWriteOnce" | "ReadWriteOncePod" | "ReadWriteMany" | "ReadOnlyMany";
  readonly block?: boolean;
  readonly volumeName?: string;
}

export interface PodOptions {
  /** Of this namespace, each at /data, /data1, ... or as block devices /dev/vol, /dev/vol1, ... */
  readonly claims?: readonly string[];
  readonly block?: boolean;
  readonly node?: string;
  readonly readOnly?: boolean;
  /** A shell script; without it the pod sleeps. */
  readonly script?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly owners?: readonly Thing[];
  /** Volumes in place of claims, with their names. */
  readonly volumes?: readonly Thing[];
}

/** A namespace of a test file, with its storage classes. Everything in it is deleted at the end, and it is looked that nothing stays on the RDS. */
export class Scope {
  readonly namespace: string;
  readonly #classes: string[] = [];

  constructor(namespace: string) {
    this.namespace = namespace;
    beforeAll(async () => {
      await api.apply({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
    });
    afterAll(() => this.#end(), 400_000);
  }

  async #end(): Promise<void> {
    const { namespace } = this;
    for (const { metadata } of await api.list("Pod", namespace)) {
      await api.delete("Pod", metadata.name, namespace, "?gracePeriodSeconds=0");
    }
    await until("the end of all pods", async () => (await api.list("Pod", namespace)).length === 0);
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
    await api.awaitGone("Namespace", namespace);
  }

  /** A storage class with a name of its own. @returns the name */
  async storageClass(
    suffix: string,
    parameters: Readonly<Record<string, string>>,
    more: Thing = {},
  ): Promise<string> {
    const name = `${this.namespace}-${suffix}`;
    this.#classes.push(name);
    await api.apply({
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
    } = options;
    return api.apply({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name, namespace: this.namespace },
      spec: {
        accessModes: [mode],
        storageClassName: storageClass,
        resources: { requests: { storage: size } },
        volumeMode: block ? "Block" : "Filesystem",
        ...(volumeName === undefined ? {} : { volumeName }),
      },
    });
  }

  /** Waits until a claim is bound. @returns its PersistentVolume */
  async bound(name: string): Promise<Thing> {
    const claim = await api.await(
      "PersistentVolumeClaim",
      name,
      this.namespace,
      "bound",
      ({ status }) => status.phase === "Bound",
    );
    return await api.get("PersistentVolume", claim.spec.volumeName);
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
    return api.apply({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: this.namespace, labels, ownerReferences: owners },
      spec: {
        terminationGracePeriodSeconds: 0,
        restartPolicy: script === undefined ? "Always" : "Never",
        enableServiceLinks: false,
        automountServiceAccountToken: false,
        ...(node === undefined
          ? {}
          : { nodeSelector: { "kubernetes.io/hostname": node }, tolerations: [ASKED_FOR] }),
        containers: [
          {
            name: "c",
            image: BUSYBOX,
            imagePullPolicy: "Never",
            command: script === undefined ? ["sleep", "2147483647"] : ["sh", "-ec", script],
            ...(block ? { volumeDevices: places } : { volumeMounts: places }),
          },
        ],
        volumes,
      },
    });
  }

  ready(name: string, timeoutMs?: number): Promise<Thing> {
    return api.await("Pod", name, this.namespace, "ready", isReady, timeoutMs);
  }

  /** Waits for the end of a pod with a script. @returns what it wrote */
  async ended(name: string): Promise<string> {
    const { status } = await api.await("Pod", name, this.namespace, "ended", (pod) =>
      ["Succeeded", "Failed"].includes(pod.status?.phase),
    );
    const log = await cluster.kubectl(["logs", "-n", this.namespace, name]);
    if (status.phase !== "Succeeded") throw new Error(`pod ${name} failed: ${log}`);
    return log;
  }

  /** Deletes a pod at once and waits until it is gone. */
  async remove(...names: string[]): Promise<void> {
    for (const name of names) await api.delete("Pod", name, this.namespace, "?gracePeriodSeconds=0");
    for (const name of names) await api.awaitGone("Pod", name, this.namespace);
  }

  /** Deletes a claim and waits until its volume is gone too. */
  async drop(name: string): Promise<void> {
    const { spec } = await api.get("PersistentVolumeClaim", name, this.namespace);
    await api.delete("PersistentVolumeClaim", name, this.namespace);
    await api.awaitGone("PersistentVolumeClaim", name, this.namespace);
    // A detach that was refused before is tried again with pauses.
    if (spec.volumeName !== undefined)
      await api.awaitGone("PersistentVolume", spec.volumeName, undefined, 180_000);
  }

  /** Runs a shell script in a pod that has to succeed. */
  async shell(pod: string, script: string): Promise<string> {
    return (await cluster.kubectl(["exec", "-n", this.namespace, pod, "--", "sh", "-ec", script])).trim();
  }

  /** Runs a shell script in a pod, whatever its exit code. */
  tryShell(pod: string, script: string): Promise<Ran> {
    const args = ["exec", "-n", this.namespace, pod, "--", "sh", "-ec", script];
    const env = { KUBECONFIG: cluster.kubeconfig };
    return attempt(`${cluster.place.programs}/bin/kubectl`, args, { env });
  }

  /** What a user sees of a claim. */
  describeClaim(name: string): Promise<string> {
    return cluster.kubectl(["describe", "pvc", name, "-n", this.namespace]);
  }

  /** Waits for an event about an object. @returns its message */
  async event(
    kind: string,
    name: string,
    reason: string,
    text: RegExp,
    timeoutMs = 120_000,
  ): Promise<string> {
    let seen: Thing[] = [];
    return await until(
      `an event ${reason} with ${text} about ${kind} ${name}`,
      async () => {
        seen = await api.events(kind, name, this.namespace);
        return seen.find((event) => event.reason === reason && text.test(event.message))?.message as string;
      },
      { timeoutMs, explain: () => seen.map((event) => `  ${event.reason}: ${event.message}`).join("\n") },
    );
  }
}

/** The attachments of a volume, as the cluster has them. */
export async function attachmentsOf(volume: string): Promise<Thing[]> {
  const all = await api.list("VolumeAttachment");
  return all.filter(({ spec }) => spec.source.persistentVolumeName === volume);
}

/** The disk of a volume on the simulated RDS; undefined if there is none. */
export async function diskOf(volume: Thing) {
  const { disks } = await cluster.rds.state();
  return disks.find(({ slot }) => slot === volume.spec.csi.volumeHandle);
}

/** Names of the nodes that the cluster has attached a volume to. */
export async function attachedNodes(volume: string): Promise<string[]> {
  const found = await attachmentsOf(volume);
  return found
    .filter(({ status }) => status?.attached)
    .map(({ spec }) => spec.nodeName)
    .sort();
}

/** Waits until a volume is attached to just these nodes, given in the order of their names. */
export function awaitNodes(volume: string, ...nodes: string[]): Promise<unknown> {
  const same = async () => (await attachedNodes(volume)).join() === nodes.join();
  return until(`${volume} to be attached to ${nodes.join(" and ")}`, same, {
    explain: async () => JSON.stringify(await attachmentsOf(volume)),
  });
}

/** Waits until a node is refused a volume. @returns the reason on the VolumeAttachment */
export function refusal(volume: string, node: string, text: RegExp): Promise<string> {
  return until(`a refusal of ${node} with ${text}`, async () => {
    const found = (await attachmentsOf(volume)).find(({ spec }) => spec.nodeName === node);
    const message: string | undefined = found?.status?.attachError?.message;
    return message !== undefined && text.test(message) ? message : undefined;
  });
}
