import type { EndedMigration, Migration, VolumeRecord } from "../domain/record/volume-record.ts";
import type { ClaimEvent } from "../kubernetes/port.ts";
import type { MigrationEvent } from "../migration/decision.ts";
import type { MigrationResult } from "./migration-metrics.ts";

/** Events on the PersistentVolumeClaim. Equal occurrences have equal messages, so that repeats are counted. */

export function startedEvent({ attachments }: VolumeRecord, { timeoutSeconds }: Migration): ClaimEvent {
  const [from, to] = attachments.map(({ node }) => node);
  const limit = timeoutSeconds === 0 ? "KubeVirt sets no time limit" : `${timeoutSeconds} s are allowed`;
  return normal(
    "MigrationStarted",
    `Live migration from ${from} to ${to}: both nodes are attached, ${limit}`,
  );
}

export function overdueEvent({ attachments }: VolumeRecord, { timeoutSeconds }: Migration): ClaimEvent {
  const nodes = attachments.map(({ node }) => node).join(" and ");
  return warning(
    "MigrationFailed",
    `Reason timeout: the live migration has taken longer than ${timeoutSeconds} s; ${nodes} keep the volume until Kubernetes detaches one`,
  );
}

export function endedEvent({ since, at, stayed }: EndedMigration, result: MigrationResult): ClaimEvent {
  const where = stayed === undefined ? "no node has the volume" : `the volume is on ${stayed}`;
  return result === "success"
    ? normal("MigrationCompleted", `Live migration completed after ${at - since} s; ${where}`)
    : warning("MigrationFailed", `Live migration ended without success after ${at - since} s; ${where}`);
}

export function conflictEvent(node: string, summary: string): ClaimEvent {
  return warning("AttachmentConflict", `Node ${node} was refused: ${summary}`);
}

/**
 * The event of an effect that the record does not show.
 * @param byEpoch whether each attachment has an NQN of its own (`--fencing` is not off)
 */
export function effectEvent(effect: MigrationEvent, byEpoch: boolean): ClaimEvent {
  switch (effect.type) {
    case "GuardOverridden":
      return warning(
        "AttachmentConflict",
        `Node ${effect.node} was attached as second node although no live migration is proven (migrationGuard warn): ${effect.reason}`,
      );
    case "VolumeFenced":
      return warning(
        "VolumeFenced",
        byEpoch
          ? `Node ${effect.node} no longer exists and has lost the volume; if it returns, it finds nothing under its old NQN`
          : `Node ${effect.node} no longer exists and has lost the volume; fencing is off, so it may connect again if it returns`,
      );
    case "StaleAttachmentCleared":
      return warning(
        "StaleAttachmentCleared",
        effect.cause === "node-gone"
          ? `Node ${effect.node} and its VolumeAttachment no longer exist; its attachment was cleared`
          : `For 15 minutes node ${effect.node} had no VolumeAttachment for the volume and no pod that uses it; its attachment was cleared`,
      );
    case "ReExported":
      return normal(
        "VolumeReExported",
        `The volume has ${effect.sizeBytes} bytes now; its export was off for a moment, which shows that to ${effect.nodes.join(" and ")} on reconnecting`,
      );
    case "ExportRestored":
      return warning(
        "ExportRestored",
        "The export was off although a node is to have the volume; it is on again under the same NQN, and the nodes reconnect by themselves",
      );
  }
}

export function driftEvent(text: string): ClaimEvent {
  return warning("AttachmentDrift", text);
}

function normal(reason: string, message: string): ClaimEvent {
  return { type: "Normal", reason, message };
}

function warning(reason: string, message: string): ClaimEvent {
  return { type: "Warning", reason, message };
}
