import { failure } from "../../domain/errors/driver-error.ts";
import { type Fact, known, lookUp, notAsked } from "../../inspect/fact.ts";
import { createKubernetes } from "../../kubernetes/create.ts";
import type { CsiNodeView, PodWithClaims } from "../../kubernetes/inspector.ts";
import type { AttachmentView, PersistentVolumeView } from "../../kubernetes/port.ts";
import { limitOf } from "../../routeros/transport/limit.ts";
import type { DiagnoseContext } from "../context.ts";

/** The API server's answers; each question by itself, as credentials may allow only some. */
export interface ClusterAnswer {
  readonly attachments: Fact<readonly AttachmentView[]>;
  readonly persistentVolumes: Fact<readonly PersistentVolumeView[]>;
  readonly csiNode: Fact<CsiNodeView>;
  /** Pods of this node. */
  readonly pods: Fact<readonly PodWithClaims[]>;
}

const CALL_SECONDS = 4;
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
  const reason = `no answer within ${CALL_SECONDS} s`;
  const late = failure("kubernetesUnavailable", { verb: "list", resource: "volumes", reason });
  const limit = limitOf({ whyNoAnswer: () => late }, CALL_SECONDS, signal);
  const ask = <T>(run: (within: AbortSignal) => Promise<T>): Promise<Fact<T>> =>
    lookUp(limit.signal, async () => known(await run(limit.signal)));
  try {
    const [attachments, persistentVolumes, csiNode, pods] = await Promise.all([
      ask((each) => reader.volumeAttachments(each)),
      ask((each) => reader.persistentVolumes(each)),
      ask((each) => inspector.csiNode(nodeId, each)),
      ask((each) => inspector.podsOn(nodeId, each)),
    ]);
    return known({ attachments, persistentVolumes, csiNode, pods });
  } finally {
    limit.clear();
    await close(0);
  }
}
