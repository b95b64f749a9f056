import { decodeRecord } from "../domain/record/record-codec.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { RecordCopy } from "./copy.ts";

/** The epoch in an NQN of a volume, whatever its prefix; undefined when the NQN is another's or has none. */
export function epochOfNqn(nqn: string, handle: VolumeId): number | undefined {
  const at = nqn.lastIndexOf(`:${handle}.`);
  const digits = at < 0 ? undefined : /^\d{1,15}/.exec(nqn.slice(at + handle.length + 2))?.[0];
  return digits === undefined ? undefined : Number(digits);
}

/** Where traces of earlier attachments are. */
export interface EpochTraces {
  readonly handle: VolumeId;
  /** The item's comment, readable or not. */
  readonly comment: string;
  /** NQNs of the item and of those that nodes were told. */
  readonly nqns: readonly string[];
  readonly copy: RecordCopy | undefined;
}

/** The highest epoch of which there is a trace; 0 when there is none. */
export function highestEpoch({ handle, comment, nqns, copy }: EpochTraces): number {
  const decoded = decodeRecord(comment);
  // Of a damaged record only this field is believed, and only as a lower bound.
  const readable =
    decoded.kind === "record" ? decoded.record.epoch : Number(/;e=(\d{1,15})(?:;|$)/.exec(comment)?.[1]);
  const all = [readable, copy?.epoch, ...nqns.map((nqn) => epochOfNqn(nqn, handle))];
  return Math.max(
    0,
    ...all.filter((epoch) => epoch !== undefined && Number.isSafeInteger(epoch)).map(Number),
  );
}

/**
 * An epoch that no attachment of the volume can have had: one above every trace. If the item does not show the NQN of its last
 * export, attachments may have left no trace; no volume was attached more often than every ten seconds since 1970. (The number of
 * seconds itself has more digits than an epoch may have.)
 * @param now seconds since the Unix epoch
 */
export function unusedEpoch(traces: EpochTraces, nqn: string, now: number): number {
  const above = highestEpoch(traces) + 1;
  return epochOfNqn(nqn, traces.handle) === undefined ? Math.max(above, Math.floor(now / 10)) : above;
}
