import { entry, type List } from "./entry.ts";

/** The remedy for a volume whose holder is being detached, or dead. */
const HOLDER_LEAVES =
  "Wait: the call is repeated by itself, and the holder is usually detached within seconds of the end of its pod. If the holder is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.";

/** Failures of attaching and detaching volumes to and from nodes. */
export const attachmentErrors = {
  nodeNotFound: entry.NOT_FOUND<{ node: string }>(
    (p) => `node ${JSON.stringify(p.node)} is not known`,
    "Check that the node exists and that the driver's DaemonSet runs on it.",
  ),
  attachedIncompatibly: entry.ALREADY_EXISTS<{ volume: string; node: string; difference: string }>(
    (p) => `volume ${p.volume} is already attached to node ${p.node}: ${p.difference}`,
    "Detach it from that node first.",
  ),
  attachedElsewhere: entry.FAILED_PRECONDITION<{ volume: string; holder: string }>(
    (p) => `volume ${p.volume} is attached to node ${p.holder} and its access mode allows a single node`,
    HOLDER_LEAVES,
  ),
  secondNodeNotProven: entry.FAILED_PRECONDITION<{ volume: string; holder: string; reason: string }>(
    (p) =>
      `volume ${p.volume} is attached to node ${p.holder}; a second node is refused, as no live migration is proven: ${p.reason}`,
    "ReadWriteMany is for KubeVirt live migration only: stop the workload that the message names, if it must not use the claim. A workload that is to start on another node waits until the holder is detached; if the holder is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.",
  ),
  holderNotDetached: entry.FAILED_PRECONDITION<{ volume: string; holder: string; reason: string }>(
    (p) =>
      `volume ${p.volume} is attached to node ${p.holder}; a second node is refused, as no live migration is proven: ${p.reason}`,
    `No other workload has to be stopped. ${HOLDER_LEAVES}`,
  ),
  guardUnavailable: entry.UNAVAILABLE<{ volume: string; reason: string }>(
    (p) => `whether volume ${p.volume} is in a live migration could not be found out: ${p.reason}`,
    "The call is repeated by itself; no second node is attached before it is proven safe.",
  ),
  thirdNode: entry.FAILED_PRECONDITION<{ volume: string; nodes: List }>(
    (p) => `volume ${p.volume} is attached to two nodes already: ${p.nodes.join(" and ")}`,
    "Wait: the call is repeated by itself, until one of them is detached. If one of them is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.",
  ),
  migrationOverdue: entry.FAILED_PRECONDITION<{
    volume: string;
    elapsedSeconds: number;
    allowedSeconds: number;
  }>(
    (p) =>
      `the migration of volume ${p.volume} has taken ${p.elapsedSeconds} s, ${p.allowedSeconds} s are allowed; no further node is attached`,
    "End or cancel the migration. For new volumes the StorageClass may allow longer (migrationTimeoutSeconds, or auto).",
  ),
  nodeLimitReached: entry.RESOURCE_EXHAUSTED<{ node: string; limit: number }>(
    (p) => `node ${p.node} has ${p.limit} volumes already, the limit of --max-volumes-per-node`,
    "Free a volume on that node, schedule the workload elsewhere, or raise the limit.",
  ),
  volumeInUse: entry.FAILED_PRECONDITION<{ volume: string; nodes: List }>(
    (p) => `volume ${p.volume} is still attached to ${p.nodes.join(" and ")}`,
    "The call is repeated by itself, until every node has released it. If that lasts: delete the workload that uses it; if a node of these is dead, power it off, then add the taint node.kubernetes.io/out-of-service to it.",
  ),
} as const;
