import type { EndedMigration, VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision } from "./decision.ts";
import { newRevision } from "./revision.ts";

/** An unpublish is always accepted: a node that is not attached is detached already. */
export type UnpublishDecision = Extract<Decision, { kind: "accept" }>;

/**
 * Decides how a node is detached. The record notes the end of a migration, which is reported from there. If the first node leaves, the guest
 * has moved; if the second or both leave, it has not.
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
  // Without the end, the record would have the text from before the second node, with which a late line may compare.
  const revised = staying.length > 0 ? newRevision(record) : record;
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
