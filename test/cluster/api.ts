import { setTimeout as delay } from "node:timers/promises";
import { until } from "./run.ts";

/** A Kubernetes object. */
// biome-ignore lint/suspicious/noExplicitAny: what is in it is what the tests look at
export type Thing = any;

/** Whether a Pod or Node is ready. */
export function isReady({ status }: Thing): boolean {
  return status?.conditions?.some((each: Thing) => each.type === "Ready" && each.status === "True") === true;
}

/** How the API server refused a request. */
export class Refused extends Error {
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** Plural names of kinds, with the path of their API group; "-" marks those that stand in no namespace. */
const KINDS: Readonly<Record<string, string>> = {
  Namespace: "-api/v1/namespaces",
  Node: "-api/v1/nodes",
  PersistentVolume: "-api/v1/persistentvolumes",
  PersistentVolumeClaim: "api/v1/persistentvolumeclaims",
  Pod: "api/v1/pods",
  ConfigMap: "api/v1/configmaps",
  Event: "api/v1/events",
  Deployment: "apis/apps/v1/deployments",
  DaemonSet: "apis/apps/v1/daemonsets",
  StatefulSet: "apis/apps/v1/statefulsets",
  PodDisruptionBudget: "apis/policy/v1/poddisruptionbudgets",
  StorageClass: "-apis/storage.k8s.io/v1/storageclasses",
  VolumeAttributesClass: "-apis/storage.k8s.io/v1/volumeattributesclasses",
  CSINode: "-apis/storage.k8s.io/v1/csinodes",
  VolumeAttachment: "-apis/storage.k8s.io/v1/volumeattachments",
  VolumeSnapshotContent: "-apis/snapshot.storage.k8s.io/v1/volumesnapshotcontents",
  VolumeSnapshot: "apis/snapshot.storage.k8s.io/v1/volumesnapshots",
  PrometheusRule: "apis/monitoring.coreos.com/v1/prometheusrules",
  VirtualMachineInstance: "apis/kubevirt.io/v1/virtualmachineinstances",
  VirtualMachineInstanceMigration: "apis/kubevirt.io/v1/virtualmachineinstancemigrations",
};

function pathOf(kind: string, namespace: string | undefined, name = ""): string {
  const known = KINDS[kind];
  if (known === undefined) throw new Error(`${kind} is not in the table of kinds`);
  const parts = known.replace("-", "").split("/");
  const plural = parts.pop();
  const where = known.startsWith("-") || namespace === undefined ? [] : ["namespaces", namespace];
  return `/${[...parts, ...where, plural, ...(name === "" ? [] : [name])].join("/")}`;
}

/** The API of a cluster, with the rights of an administrator. */
export class Api {
  /** How long a request is repeated while the server is away, in milliseconds. Every request of this class may be repeated. */
  patienceMs = 0;
  readonly #server: string;
  readonly #ca: string;
  readonly #token: string;

  /** @param ca certificate of the server's authority, PEM */
  constructor(server: string, ca: string, token: string) {
    this.#server = server;
    this.#ca = ca;
    this.#token = token;
  }

  /** The same API with other rights. */
  as(token: string): Api {
    return new Api(this.#server, this.#ca, token);
  }

  /** @throws Refused */
  async request(method: string, path: string, body?: unknown, type?: string): Promise<Thing> {
    for (const end = Date.now() + this.patienceMs; ; await delay(100)) {
      try {
        return await this.#requestOnce(method, path, body, type);
      } catch (error) {
        const refused = error instanceof Refused && error.status < 500 && error.status !== 429;
        if (refused || Date.now() >= end) throw error;
      }
    }
  }

  async #requestOnce(
    method: string,
    path: string,
    body?: unknown,
    type = "application/json",
  ): Promise<Thing> {
    const headers = { authorization: `Bearer ${this.#token}`, "content-type": type };
    const options = body === undefined ? {} : { body: JSON.stringify(body) };
    const signal = AbortSignal.timeout(30_000);
    const init = { method, headers, signal, tls: { ca: this.#ca }, ...options };
    const response = await fetch(`${this.#server}${path}`, init);
    const text = await response.text();
    if (!response.ok) {
      let { message } = { message: text };
      try {
        ({ message } = JSON.parse(text) as { message: string });
      } catch {
        // No object of the API: a proxy's or a server's own text.
      }
      throw new Refused(response.status, message);
    }
    return text.startsWith("{") ? JSON.parse(text) : text;
  }

  /** Applies an object server-side, as `kubectl apply --server-side` does. */
  apply(object: Thing): Promise<Thing> {
    const path = pathOf(object.kind, object.metadata.namespace, object.metadata.name);
    return this.request(
      "PATCH",
      `${path}?fieldManager=test&force=true`,
      object,
      "application/apply-patch+yaml",
    );
  }

  get(kind: string, name: string, namespace?: string): Promise<Thing> {
    return this.request("GET", pathOf(kind, namespace, name));
  }

  /** undefined: there is none. */
  async find(kind: string, name: string, namespace?: string): Promise<Thing | undefined> {
    try {
      return await this.get(kind, name, namespace);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) return undefined;
      throw error;
    }
  }

  async list(kind: string, namespace?: string, query = ""): Promise<Thing[]> {
    return (await this.request("GET", `${pathOf(kind, namespace)}${query}`)).items;
  }

  /** Merges a patch (RFC 7386) into an object, or into its part `subresource`. */
  patch(
    kind: string,
    name: string,
    namespace: string | undefined,
    patch: Thing,
    subresource = "",
  ): Promise<Thing> {
    const path = `${pathOf(kind, namespace, name)}${subresource === "" ? "" : `/${subresource}`}`;
    return this.request("PATCH", path, patch, "application/merge-patch+json");
  }

  /** Deletes an object; absent is success. @param query such as `?gracePeriodSeconds=0` */
  async delete(kind: string, name: string, namespace?: string, query = ""): Promise<void> {
    try {
      await this.request("DELETE", `${pathOf(kind, namespace, name)}${query}`);
    } catch (error) {
      if (!(error instanceof Refused) || error.status !== 404) throw error;
    }
  }

  /** Waits until an object is as wanted. */
  async await(
    kind: string,
    name: string,
    namespace: string | undefined,
    what: string,
    wanted: (object: Thing) => boolean,
    timeoutMs = 120_000,
  ): Promise<Thing> {
    let last: Thing;
    return await until(
      `${kind} ${name} ${what}`,
      async () => {
        last = await this.find(kind, name, namespace);
        return last !== undefined && wanted(last) ? last : undefined;
      },
      { timeoutMs, pauseMs: 200, explain: () => this.#story(kind, name, namespace, last) },
    );
  }

  /** Waits until an object is gone. */
  async awaitGone(kind: string, name: string, namespace?: string, timeoutMs = 120_000): Promise<void> {
    let last: Thing;
    await until(
      `the end of ${kind} ${name}`,
      async () => {
        last = await this.find(kind, name, namespace);
        return last === undefined;
      },
      { timeoutMs, pauseMs: 200, explain: () => this.#story(kind, name, namespace, last) },
    );
  }

  /** Messages of the events about an object, oldest first. */
  async events(kind: string, name: string, namespace: string): Promise<Thing[]> {
    const query = `?fieldSelector=involvedObject.kind=${kind},involvedObject.name=${name}`;
    return await this.list("Event", namespace, query);
  }

  async #story(kind: string, name: string, namespace: string | undefined, last: Thing): Promise<string> {
    const events = namespace === undefined ? [] : await this.events(kind, name, namespace);
    const lines = events.map(({ reason, message }) => `  ${reason}: ${message}`);
    // Of a namespace that does not end they name what is left in it.
    const conditions = ((last?.status?.conditions ?? []) as Thing[])
      .filter(({ status }) => status === "True")
      .map(({ type, message }) => `  ${type}: ${message}`);
    return [...conditions, `status ${JSON.stringify(last?.status)}`, ...lines].join("\n");
  }
}
