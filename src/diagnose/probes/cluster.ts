import { failure } from "../../domain/errors/driver-error.ts";
import { type Fact, known, lookUp, notAsked } from "../../inspect/fact.ts";
import { createKubernetes } from "../../kubernetes/create.ts";
import type { CsiNodeView, PodWithClaims } from "../../kubernetes/inspector.ts";
import type { AttachmentView, PersistentVolumeView } from "../../kubernetes/port.ts";
import type { DiagnoseContext } from "../context.ts";

/** The API server's answers; each question by itself, as credentials may allow only some. */
export interface ClusterAnswer {
  readonly attachments: Fact<readonly AttachmentView[]>;
  readonly persistentVolumes: Fact<readonly PersistentVolumeView[]>;
  readonly csiNode: Fact<CsiNodeView>;
  /** Pods of this node. */
  readonly pods: Fact<readonly PodWithClaims[]>;
}

const CALL_DEADLINE_MS = 4_000;
const SOCKETS = 4;

/**
 * Asks the API server. Lists are read once; nothing is watched.
 * @throws kubernetesConfigUnusable
 */
export async function askCluster(
  { config }: DiagnoseContext,
  signal: AbortSignal,
): Promise<Fact<ClusterAnswer>> {
  const { orchestrator, kubeconfig, driverName, nodeId } = config;
  if (orchestrator === "none") return notAsked("--orchestrator none");
  const { reader, inspector, close } = await createKubernetes({
    source: kubeconfig === undefined ? { kind: "in-cluster" } : { kind: "kubeconfig", path: kubeconfig },
    driverName,
    instance: nodeId,
    maxSockets: SOCKETS,
  });
  const limit = new AbortController();
  const timer = setTimeout(() => {
    const reason = `no answer within ${CALL_DEADLINE_MS / 1_000} s`;
    limit.abort(failure("kubernetesUnavailable", { verb: "list", resource: "volumes", reason }));
  }, CALL_DEADLINE_MS);
  const within = AbortSignal.any([signal, limit.signal]);
  const ask = <T>(run: (within: AbortSignal) => Promise<T>): Promise<Fact<T>> =>
    lookUp(within, async () => known(await run(within)));
  try {
    const [attachments, persistentVolumes, csiNode, pods] = await Promise.all([
      ask((each) => reader.volumeAttachments(each)),
      ask((each) => reader.persistentVolumes(each)),
      ask((each) => inspector.csiNode(nodeId, each)),
      ask((each) => inspector.podsOn(nodeId, each)),
    ]);
    return known({ attachments, persistentVolumes, csiNode, pods });
  } finally {
    clearTimeout(timer);
    await close(0);
  }
}
