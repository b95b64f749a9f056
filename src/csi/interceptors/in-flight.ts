import { equals, type Message } from "@bufbuild/protobuf";
import { orAborted } from "../../domain/abort.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { parseSnapshotHandle, partsOfHandle, snapshotIdFromName } from "../../domain/snapshot-id.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { Interceptor, RpcCall, RpcNext } from "../rpc.ts";

/** Work that runs on behalf of one or more equal calls. */
interface Work {
  readonly call: RpcCall;
  readonly controller: AbortController;
  readonly result: Promise<Message>;
  ended: boolean;
  /** Callers that still wait; at zero the work is aborted. */
  waiting: number;
  /** The latest deadline of all callers; undefined means that one of them has none. */
  deadlineMs: number | undefined;
}

/**
 * One operation per volume at a time. An equal call (same RPC, equal request) joins the running one and gets its result. A
 * different call is refused with ABORTED. The work is aborted when the last of its callers has gone, and keeps its place until it has
 * ended.
 */
export function inFlightInterceptor(): Interceptor {
  const running = new Map<string, Work>();
  return async (call, next) => {
    const keys = call.offered ? keysOf(call.context.method, call.request) : [];
    if (keys.length === 0) return next(call);
    for (const key of keys) {
      const work = running.get(key);
      if (work === undefined) continue;
      if (work.waiting > 0 && isEqualCall(work.call, call)) {
        // The lines of the work have the id of the call that started it.
        call.context.logger.info("joined an equal call", { sharedWith: work.call.context.requestId });
        return wait(work, call);
      }
      const suffix = work.waiting > 0 ? "" : ", being cancelled";
      throw failure("operationInFlight", { volume: key, running: `${work.call.context.method}${suffix}` });
    }
    const work = start(call, next);
    const free = () => {
      work.ended = true;
      for (const key of keys) running.delete(key);
    };
    work.result.then(free, free);
    for (const key of keys) running.set(key, work);
    return wait(work, call);
  };
}

function start(call: RpcCall, next: RpcNext): Work {
  const controller = new AbortController();
  const shared = { waiting: 0, ended: false, deadlineMs: call.context.deadlineMs };
  const context = {
    ...call.context,
    signal: controller.signal,
    get deadlineMs() {
      return shared.deadlineMs;
    },
  };
  return Object.assign(shared, { call, controller, result: next({ ...call, context }) });
}

async function wait(work: Work, call: RpcCall): Promise<Message> {
  const { signal, deadlineMs } = call.context;
  work.waiting += 1;
  work.deadlineMs =
    work.deadlineMs === undefined || deadlineMs === undefined
      ? undefined
      : Math.max(work.deadlineMs, deadlineMs);
  try {
    return await orAborted(work.result, signal);
  } finally {
    work.waiting -= 1;
    if (work.waiting === 0 && !work.ended) work.controller.abort(signal.reason);
  }
}

function isEqualCall(a: RpcCall, b: RpcCall): boolean {
  // The messages are compared, as the order of map entries on the wire is arbitrary.
  return a.method === b.method && equals(a.method.input, a.request, b.request);
}

/** The objects that a request is about. */
type Rule = (request: Readonly<Record<string, unknown>>) => readonly string[];

/** Longest handle in a message, in UTF-16 units. */
const SHOWN = 64;

/**
 * The slot, without the name of the RDS before it: CreateVolume knows only the slot, and it has to meet a DeleteVolume
 * of the same volume.
 */
function volumeKey(handle: unknown): string[] {
  if (typeof handle !== "string" || handle === "") return [];
  const slot = handle.slice(handle.lastIndexOf(":") + 1);
  return [`volume ${slot.slice(0, SHOWN).toWellFormed()}`];
}

const byVolumeId: Rule = ({ volumeId }) => volumeKey(volumeId);

/**
 * Each change of a volume excludes other changes of it. Lists and lookups are free. Calls for the statistics or the health of one path share
 * their work, as such calls would pile up on a dead device.
 */
const RULES: Readonly<Record<string, Rule>> = {
  CreateVolume: ({ name }) =>
    typeof name === "string" && name !== "" ? volumeKey(volumeIdFromName(name)) : [],
  DeleteVolume: byVolumeId,
  CreateSnapshot: ({ name }) =>
    typeof name === "string" && name !== "" ? [`snapshot ${snapshotIdFromName(name)}`] : [],
  // CreateSnapshot knows the id only.
  DeleteSnapshot: ({ snapshotId }) => {
    const handle = typeof snapshotId === "string" ? parseSnapshotHandle(snapshotId) : undefined;
    return handle === undefined ? [] : [`snapshot ${partsOfHandle(handle).id}`];
  },
  ControllerPublishVolume: byVolumeId,
  ControllerUnpublishVolume: byVolumeId,
  ControllerExpandVolume: byVolumeId,
  ControllerModifyVolume: byVolumeId,
  NodeStageVolume: byVolumeId,
  NodeUnstageVolume: byVolumeId,
  NodePublishVolume: byVolumeId,
  NodeUnpublishVolume: byVolumeId,
  NodeExpandVolume: byVolumeId,
  NodeGetVolumeStats: ({ volumeId, volumePath }) => {
    const path = JSON.stringify(`${String(volumeId)} at ${String(volumePath)}`.slice(0, 512));
    return [`statistics of ${path}`];
  },
  NodeGetVolumeHealth: ({ volumeId, volumePublishPath }) => {
    const path = JSON.stringify(`${String(volumeId)} at ${String(volumePublishPath)}`.slice(0, 512));
    return [`health of ${path}`];
  },
  NodeGetStorageHealth: () => ["the health of the storage"],
};

/** The objects that a call works on, in words for an error message; empty means that the call is not guarded. */
function keysOf(method: string, request: Message): readonly string[] {
  const rule = Object.hasOwn(RULES, method) ? RULES[method] : undefined;
  return rule?.(request as unknown as Record<string, unknown>) ?? [];
}
