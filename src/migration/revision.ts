import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { Decision } from "./decision.ts";

/**
 * The same record with another text. An earlier command, whose caller has given up and whose line still waits on the RDS, compares with the
 * old text and then changes nothing.
 */
export function newRevision(record: VolumeRecord): VolumeRecord {
  return { ...record, invalidations: (record.invalidations ?? 0) + 1 };
}

/** The decision, with a new revision of the record if it changes nothing. */
export function withRevision(
  record: VolumeRecord,
  decision: Extract<Decision, { kind: "accept" }>,
): Extract<Decision, { kind: "accept" }> {
  return decision.record === record ? { ...decision, record: newRevision(record) } : decision;
}

/** Whether an attachment was made, or confirmed by a repeated publish, since a record was read. */
export function isAskedAnew(before: VolumeRecord, now: VolumeRecord, node: string): boolean {
  const since = (record: VolumeRecord) => record.attachments.find((each) => each.node === node)?.since;
  const isOther = before.epoch !== now.epoch || before.invalidations !== now.invalidations;
  return isOther || since(before) !== since(now);
}
