import type { VolumeRecord } from "../domain/record/volume-record.ts";
import { elapsedSeconds } from "./deadline.ts";
import type { Decision, MigrationEvent } from "./decision.ts";

/** An unpublish is always accepted: what is not attached is detached already. */
export type UnpublishDecision = Extract<Decision, { kind: "accept" }>;

/**
 * Decides what detaching a node does.
 * @param node CSI node id; "" means every node (CSI specification, ControllerUnpublishVolume)
 * @param now seconds since the Unix epoch
 */
export function decideUnpublish(record: VolumeRecord, node: string, now: number): UnpublishDecision {
  const leaving = record.attachments.filter((attachment) => node === "" || attachment.node === node);
  const staying = record.attachments.filter((attachment) => !leaving.includes(attachment));
  return {
    kind: "accept",
    record: leaving.length === 0 ? record : { ...record, attachments: staying, migration: undefined },
    export: staying.length === 0 ? "off" : "keep",
    events: leaving.length === 0 ? [] : outcome(record, staying[0]?.node, now),
  };
}

/** The first node leaves: the machine has moved. The second, or both, leave: it has not. */
function outcome(record: VolumeRecord, stayed: string | undefined, now: number): MigrationEvent[] {
  const { migration } = record;
  if (migration === undefined) return [];
  const seconds = elapsedSeconds(migration, now);
  const second = record.attachments[1]?.node;
  return stayed !== undefined && stayed === second
    ? [{ type: "MigrationCompleted", to: stayed, seconds }]
    : [{ type: "MigrationFailed", stayed, seconds }];
}
