import { failure } from "../domain/errors/driver-error.ts";
import type { Attachment, VolumeRecord } from "../domain/record/volume-record.ts";
import { elapsedSeconds, isOverdue } from "./deadline.ts";
import type { Decision, Evidence, MigrationEvent, PublishRequest } from "./decision.ts";

/**
 * Decides whether a node may have the volume. Pure and total: the same record, request, time and evidence
 * always give the same answer.
 * @param now seconds since the Unix epoch
 */
export function decidePublish(
  record: VolumeRecord,
  request: PublishRequest,
  now: number,
  evidence: Evidence,
): Decision {
  const held = record.attachments.find((attachment) => attachment.node === request.node);
  if (held !== undefined) return samePublish(record, held, request);
  const [first, second] = record.attachments;
  if (first === undefined) return freshAttach(record, request, now);
  if (second !== undefined) return refuseThird(record, [first, second], request, now);
  return maySharePair(first, request)
    ? secondAttach(record, first, request, now, evidence)
    : otherNode(record, first, request, now, evidence);
}

/** The node has the volume already: the same answer for the same request, else ALREADY_EXISTS. */
function samePublish(record: VolumeRecord, held: Attachment, request: PublishRequest): Decision {
  const difference = differenceBetween(held, request);
  if (difference === undefined) return { kind: "accept", record, export: "keep", events: [] };
  return {
    kind: "refuse",
    error: failure("attachedIncompatibly", { volume: request.volume, node: request.node, difference }),
  };
}

function differenceBetween(held: Attachment, request: PublishRequest): string | undefined {
  if (held.readonly !== request.readonly)
    return `readonly is ${held.readonly}, asked for ${request.readonly}`;
  if (held.accessType !== request.accessType)
    return `access type is ${held.accessType}, asked for ${request.accessType}`;
  if (held.accessMode !== request.accessMode)
    return `access mode is ${held.accessMode}, asked for ${request.accessMode}`;
  if (held.hostNqn !== request.hostNqn)
    return `host NQN is ${held.hostNqn}, the node's is ${request.hostNqn}`;
  return undefined;
}

/** No node has the volume: a new epoch, so that an earlier holder finds nothing under its old NQN. */
function freshAttach(
  record: VolumeRecord,
  request: PublishRequest,
  now: number,
): Extract<Decision, { kind: "accept" }> {
  return {
    kind: "accept",
    record: {
      ...record,
      epoch: record.epoch + 1,
      attachments: [attachmentOf(request, now)],
      migration: undefined,
      // That of a clone says what its origin held. A node may make one only on a clone without it, and then proves it blank.
      filesystem: record.filesystem ?? (record.source === undefined ? request.filesystem : undefined),
    },
    export: "fresh",
    events: [],
  };
}

/** Only raw block volumes that both sides asked for as shared may be on two nodes. */
function maySharePair(first: Attachment, request: PublishRequest): boolean {
  return [first, request].every(
    (side) => side.accessMode === "MULTI_NODE_MULTI_WRITER" && side.accessType === "block",
  );
}

/** Another node holds a single-node volume: refused, unless that node does not exist any more. */
function otherNode(
  record: VolumeRecord,
  holder: Attachment,
  request: PublishRequest,
  now: number,
  evidence: Evidence,
): Decision {
  if (evidence.holderGone === undefined) return { kind: "ask", question: "holderGone", holder: holder.node };
  if (evidence.holderGone) return takeOver(record, holder, request, now);
  return {
    kind: "refuse",
    error: failure("attachedElsewhere", { volume: request.volume, holder: holder.node }),
  };
}

/** Takes the volume over from a node that is gone. If it returns, it finds nothing under its old NQN. */
function takeOver(record: VolumeRecord, holder: Attachment, request: PublishRequest, now: number): Decision {
  const fresh = freshAttach({ ...record, attachments: [] }, request, now);
  return { ...fresh, events: [{ type: "VolumeFenced", node: holder.node }] };
}

/** A second node of a shared block volume: only for a live migration; or the next one, if the holder does not exist any more. */
function secondAttach(
  record: VolumeRecord,
  holder: Attachment,
  request: PublishRequest,
  now: number,
  evidence: Evidence,
): Decision {
  const { migrationGuard, migrationTimeoutSeconds } = record.settings;
  const overridden: MigrationEvent[] = [];
  if (migrationGuard !== "off") {
    const { singleUser } = evidence;
    if (singleUser === undefined) return { kind: "ask", question: "singleUser", holder: holder.node };
    if (singleUser.kind === "unknown" && migrationGuard === "enforce") {
      return {
        kind: "refuse",
        error: failure("guardUnavailable", { volume: request.volume, reason: singleUser.reason }),
      };
    }
    if (singleUser.kind === "not-proven") {
      if (evidence.holderGone === undefined)
        return { kind: "ask", question: "holderGone", holder: holder.node };
      if (evidence.holderGone) return takeOver(record, holder, request, now);
    }
    if (singleUser.kind === "not-proven" && migrationGuard === "enforce") {
      const { volume } = request;
      const params = { volume, holder: holder.node, reason: singleUser.reason };
      return {
        kind: "refuse",
        error: singleUser.waits
          ? failure("holderNotDetached", params)
          : failure("secondNodeNotProven", params),
      };
    }
    if ("reason" in singleUser) {
      overridden.push({ type: "GuardOverridden", node: request.node, reason: singleUser.reason });
    }
  }
  if (migrationTimeoutSeconds === "auto" && evidence.allowedSeconds === undefined) {
    return { kind: "ask", question: "allowedSeconds", holder: holder.node };
  }
  const timeoutSeconds =
    migrationTimeoutSeconds === "auto" ? (evidence.allowedSeconds ?? 0) : migrationTimeoutSeconds;
  return {
    kind: "accept",
    record: {
      ...record,
      attachments: [holder, attachmentOf(request, now)],
      migration: { since: now, timeoutSeconds, by: request.by, overdueBy: undefined },
    },
    export: "keep",
    events: overridden,
  };
}

function refuseThird(
  record: VolumeRecord,
  pair: readonly [Attachment, Attachment],
  request: PublishRequest,
  now: number,
): Decision {
  const { volume } = request;
  const { migration } = record;
  // With `auto`, KubeVirt's limit is asked for once more before a migration is called overdue.
  const isSaid = record.settings.migrationTimeoutSeconds !== "auto" || migration?.overdueBy !== undefined;
  if (migration !== undefined && isSaid && isOverdue(migration, now)) {
    const elapsed = elapsedSeconds(migration, now);
    return {
      kind: "refuse",
      error: failure("migrationOverdue", {
        volume,
        elapsedSeconds: elapsed,
        allowedSeconds: migration.timeoutSeconds,
      }),
    };
  }
  return {
    kind: "refuse",
    error: failure("thirdNode", { volume, nodes: pair.map((attachment) => attachment.node) }),
  };
}

function attachmentOf(request: PublishRequest, now: number): Attachment {
  const { node, hostNqn, accessMode, accessType, readonly } = request;
  return { node, hostNqn, accessMode, accessType, readonly, since: now };
}
