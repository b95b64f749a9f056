import { Buffer } from "node:buffer";
import type { CoreV1Event } from "@kubernetes/client-node";
import { printable } from "../domain/printable.ts";
import type { PendingEvent, Series } from "./event-series.ts";

/** Who reports. */
export interface EventSource {
  /** The CSI driver name: source.component and reportingComponent (reportingController of events.k8s.io). */
  readonly component: string;
  /** This process: the pod's name, at most 128 characters. */
  readonly instance: string;
}

const MAX_MESSAGE_BYTES = 1024;

/**
 * A core/v1 Event on a PersistentVolumeClaim, as `kubectl describe pvc` looks it up: by the UID of involvedObject, in the
 * namespace of the claim.
 * @param now milliseconds since the epoch
 */
export function eventObject(
  event: PendingEvent,
  message: string,
  series: Series,
  reporter: EventSource,
  now: number,
): CoreV1Event {
  const { namespace, name, uid } = event.claim;
  return {
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace, name: eventName(event, series) },
    involvedObject: { apiVersion: "v1", kind: "PersistentVolumeClaim", namespace, name, uid },
    type: event.type,
    reason: event.reason.slice(0, 128),
    message: truncated(message),
    source: { component: reporter.component },
    reportingComponent: reporter.component,
    reportingInstance: reporter.instance.slice(0, 128),
    count: series.count,
    firstTimestamp: new Date(series.firstAt),
    lastTimestamp: new Date(now),
  };
}

/** At most 253 characters: of a long claim name only the beginning is used. */
export function eventName(event: PendingEvent, series: Series): string {
  return `${event.claim.name.slice(0, 220).replace(/[.-]+$/, "")}.${series.suffix}`;
}

/** The change of a repeated event: a merge patch. */
export function eventPatch(message: string, series: Series, now: number): object {
  return {
    message: truncated(message),
    count: series.count,
    lastTimestamp: new Date(now).toISOString().replace(/\.\d+Z$/, "Z"),
  };
}

/** The message of an event: without active characters, at most 1024 bytes, cut between characters. */
export function truncated(text: string): string {
  const message = printable(text);
  const bytes = Buffer.from(message);
  if (bytes.length <= MAX_MESSAGE_BYTES) return message;
  let end = MAX_MESSAGE_BYTES - 3;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return `${bytes.subarray(0, end).toString("utf8")}...`;
}
