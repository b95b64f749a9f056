import { didYouMean } from "../../config/did-you-mean.ts";
import { failure } from "../../domain/errors/driver-error.ts";

/** Runs kubectl, and returns what it prints on standard output. @throws Error with its standard error */
export type Kubectl = (args: readonly string[]) => Promise<string>;

/** Which pod is looked for. */
export interface Wanted {
  readonly component: "controller" | "node";
  /** Of the pod; undefined: any. */
  readonly node: string | undefined;
  /** Where the driver is installed; undefined: looked for, at first in `rds-csi`. */
  readonly namespace: string | undefined;
}

export interface PodRef {
  readonly namespace: string;
  readonly name: string;
}

/** The part of a pod that is read. */
interface Pod {
  readonly metadata: PodRef & { readonly deletionTimestamp?: string };
  readonly spec?: { readonly nodeName?: string };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly {
      readonly name: string;
      readonly ready?: boolean;
      readonly state?: { readonly running?: unknown };
    }[];
  };
}

/** The namespace of the manifests. */
const USUAL = "rds-csi";

/**
 * A pod of the driver that runs; a ready one if there is one.
 * @throws pluginNoPod, pluginKubectl (UNAVAILABLE)
 */
export async function findPod(kubectl: Kubectl, { component, node, namespace }: Wanted): Promise<PodRef> {
  const pods = await listPods(kubectl, component, namespace);
  const own = pods.filter(({ spec }) => node === undefined || spec?.nodeName === node);
  const running = own.filter(
    (pod) => driverOf(pod)?.state?.running !== undefined && pod.metadata.deletionTimestamp === undefined,
  );
  const chosen = running.find((pod) => driverOf(pod)?.ready === true) ?? running[0];
  if (chosen !== undefined) return { namespace: chosen.metadata.namespace, name: chosen.metadata.name };
  const what = `${component} pod of rds-csi${node === undefined ? "" : ` on node ${node}`}`;
  throw failure("pluginNoPod", { what, detail: detailOf({ own, pods, node, namespace }) });
}

/** How long each request to the API server may take. */
const LIMIT = "--request-timeout=30s";

async function listPods(
  kubectl: Kubectl,
  component: string,
  namespace: string | undefined,
): Promise<readonly Pod[]> {
  const labels = `app.kubernetes.io/name=rds-csi,app.kubernetes.io/component=${component}`;
  const list = async (...where: readonly string[]): Promise<readonly Pod[]> => {
    let text: string;
    try {
      // kubectl itself waits for an API server without end.
      text = await kubectl(["get", "pods", ...where, "-l", labels, "-o", "json", LIMIT]);
    } catch (error) {
      throw failure("pluginKubectl", {
        detail: String(error instanceof Error ? error.message : error).trim(),
      });
    }
    return (JSON.parse(text) as { readonly items?: readonly Pod[] }).items ?? [];
  };
  const first = await list("-n", namespace ?? USUAL);
  return first.length > 0 || namespace !== undefined ? first : list("--all-namespaces");
}

function driverOf({ status }: Pod) {
  return status?.containerStatuses?.find(({ name }) => name === "driver");
}

/** Why there is no pod to be used. */
function detailOf(found: {
  readonly own: readonly Pod[];
  readonly pods: readonly Pod[];
  readonly node: string | undefined;
  readonly namespace: string | undefined;
}): string {
  const { own, pods, node, namespace } = found;
  if (own.length > 0)
    return own.map(({ metadata, status }) => `${metadata.name} is ${status?.phase ?? "unknown"}`).join(", ");
  if (pods.length === 0)
    return namespace === undefined ? "no namespace has one" : `namespace ${namespace} has none`;
  const nodes = [...new Set(pods.flatMap(({ spec }) => spec?.nodeName ?? []))].sort();
  const meant = didYouMean(node ?? "", nodes);
  return `nodes with one: ${nodes.join(", ")}${meant === undefined ? "" : `; did you mean ${meant}?`}`;
}
