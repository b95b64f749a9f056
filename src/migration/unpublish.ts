import type { EndedMigration, VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision } from "./decision.ts";

/** An unpublish is always accepted: what is not attached is detached already. */
export type UnpublishDecision = Extract<Decision, { kind: "accept" }>;

/**
 * Decides what detaching a node does. The end of a migration is noted in the record, from where it is reported:
 * the first node leaves: the machine has moved; the second, or both, leave: it has not.
 * @param node CSI node id; "" means every node (CSI specification, ControllerUnpublishVolume)
 * @param now seconds since the Unix epoch
 * @param by this controller process
 */
export function decideUnpublish(
  record: VolumeRecord,
  node: string,
  now: number,
  by: string,
): UnpublishDecision {
  const leaving = record.attachments.filter((attachment) => node === "" || attachment.node === node);
  const staying = record.attachments.filter((attachment) => !leaving.includes(attachment));
  const exportState = staying.length === 0 ? "off" : "keep";
  if (leaving.length === 0) return { kind: "accept", record, export: exportState, events: [] };
  const ended = endOf(record, staying[0]?.node, now, by);
  // Once the end has left it, the record would be that of before the second node, with which a late line may compare.
  const revised = staying.length > 0 ? invalidateEarlier(record) : record;
  return {
    kind: "accept",
    record: {
      ...revised,
      attachments: staying,
      exportName: staying.length === 0 ? undefined : record.exportName,
      migration: undefined,
      ended: [...record.ended, ...ended],
    },
    export: exportState,
    events: [],
  };
}

/**
 * Turns an answer that needs no change into one that a command of before cannot undo: an attach or a detach that was sent
 * earlier, timed out, and whose line still waits on the RDS, compares with the record as it was, which is gone then.
 */
export function invalidateEarlier(record: VolumeRecord): VolumeRecord {
  return { ...record, invalidations: (record.invalidations ?? 0) + 1 };
}

/** A decision that changes nothing, with a new revision of the record, so that the answer outlives the lines of before. */
export function withRevision(record: VolumeRecord, decision: UnpublishDecision): UnpublishDecision {
  return decision.record === record ? { ...decision, record: invalidateEarlier(record) } : decision;
}

/** Whether an attachment was made, or confirmed by a repeated publish, since a record was read. */
export function isAskedAnew(before: VolumeRecord, now: VolumeRecord, node: string): boolean {
  const since = (record: VolumeRecord) => record.attachments.find((each) => each.node === node)?.since;
  const isOther = before.epoch !== now.epoch || before.invalidations !== now.invalidations;
  return isOther || since(before) !== since(now);
}

function endOf(record: VolumeRecord, stayed: string | undefined, now: number, by: string): EndedMigration[] {
  const { migration } = record;
  if (migration === undefined) return [];
  const { since, overdueBy } = migration;
  const moved = stayed !== undefined && stayed === record.attachments[1]?.node;
  return [{ since, at: Math.max(since, now), moved, overdue: overdueBy !== undefined, stayed, by }];
}

/** The record without ended migrations that have been reported. */
export function forgetEnded(
  record: VolumeRecord,
  reported: (ended: EndedMigration) => boolean,
): VolumeRecord {
  const ended = record.ended.filter((each) => !reported(each));
  return ended.length === record.ended.length ? record : { ...record, ended };
}
