import { describe, expect, test } from "bun:test";
import { create, type Message } from "@bufbuild/protobuf";
import { settled } from "../../../test/support/clock.ts";
import { failure, isFailure } from "../../domain/errors/driver-error.ts";
import { snapshotHandle, snapshotIdFromName } from "../../domain/snapshot-id.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import { deferred, fakeCall } from "../call.fixture.ts";
import {
  ControllerUnpublishVolumeRequestSchema,
  CreateSnapshotRequestSchema,
  CreateVolumeRequestSchema,
  DeleteSnapshotRequestSchema,
  DeleteVolumeRequestSchema,
  DeleteVolumeResponseSchema,
  ListVolumesRequestSchema,
  NodeStageVolumeRequestSchema,
  NodeUnstageVolumeRequestSchema,
} from "../gen/csi_pb.ts";
import type { RpcCall } from "../rpc.ts";
import { inFlightInterceptor } from "./in-flight.ts";

const response = create(DeleteVolumeResponseSchema);
const remove = (volumeId: string, context: Partial<RpcCall["context"]> = {}, secrets = {}) =>
  fakeCall("DeleteVolume", DeleteVolumeRequestSchema, { volumeId, secrets }, context);

/** A handler whose calls wait for the test. */
function handler() {
  const calls: { call: RpcCall; done: ReturnType<typeof deferred<Message>> }[] = [];
  const next = (call: RpcCall) => {
    const done = deferred<Message>();
    calls.push({ call, done });
    return done.promise;
  };
  return { calls, next };
}

async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => "no error",
    (error: unknown) => error,
  );
}

describe("inFlightInterceptor", () => {
  test("an equal call joins, whatever the order of its map; both get the result; then the key is free", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const first = guard(remove("csi-1", {}, { a: "1", b: "2" }), next);
    const second = guard(remove("csi-1", {}, { b: "2", a: "1" }), next);
    expect(calls).toHaveLength(1);
    calls[0]?.done.resolve(response);
    expect(await first).toBe(response);
    expect(await second).toBe(response);
    await settled();
    expect(calls[0]?.call.context.signal.aborted).toBe(false);
    guard(remove("csi-1"), next);
    expect(calls).toHaveLength(2);
  });

  test("a joined call gets the error as well", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const both = [guard(remove("csi-1"), next), guard(remove("csi-1"), next)].map(errorOf);
    const error = failure("volumeNotFound", { volume: "csi-1" });
    calls[0]?.done.reject(error);
    expect(await Promise.all(both)).toEqual([error, error]);
  });

  test("same volume: another RPC or another request is refused, naming what runs", async () => {
    const { next } = handler();
    const guard = inFlightInterceptor();
    guard(remove("csi-1"), next);
    const unpublish = fakeCall("ControllerUnpublishVolume", ControllerUnpublishVolumeRequestSchema, {
      volumeId: "csi-1",
    });
    for (const call of [unpublish, remove("csi-1", {}, { a: "1" })]) {
      const error = await errorOf(guard(call, next));
      expect(isFailure(error, "operationInFlight")).toBe(true);
      expect(String(error)).toContain("volume csi-1 is in progress (DeleteVolume)");
    }
  });

  test("CreateVolume and DeleteVolume of the same volume exclude each other, with and without a backend", async () => {
    const { next } = handler();
    const guard = inFlightInterceptor();
    guard(fakeCall("CreateVolume", CreateVolumeRequestSchema, { name: "pvc-1" }), next);
    for (const id of [volumeIdFromName("pvc-1"), `backend2:${volumeIdFromName("pvc-1")}`]) {
      expect(isFailure(await errorOf(guard(remove(id), next)), "operationInFlight")).toBe(true);
    }
  });

  test("CreateSnapshot and DeleteSnapshot of the same snapshot exclude each other, whatever filesystem holds it", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    guard(fakeCall("CreateSnapshot", CreateSnapshotRequestSchema, { name: "s1" }), next);
    const id = snapshotIdFromName("s1");
    const removed = (snapshotId: string) =>
      guard(fakeCall("DeleteSnapshot", DeleteSnapshotRequestSchema, { snapshotId }), next);
    for (const label of ["pool1", "a.b"])
      expect(isFailure(await errorOf(removed(snapshotHandle(id, label))), "operationInFlight")).toBe(true);
    // It has no form of ours, so nothing is done for it.
    removed(id);
    expect(calls).toHaveLength(2);
  });

  test("other volumes, lists and requests without an id are not held up", () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const list = () => fakeCall("ListVolumes", ListVolumesRequestSchema, {});
    for (const call of [remove("csi-1"), remove("csi-2"), list(), list(), remove(""), remove("")])
      guard(call, next);
    expect(calls).toHaveLength(6);
  });

  test("the first caller leaves: the work goes on for the second", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const client = new AbortController();
    const first = errorOf(guard(remove("csi-1", { signal: client.signal }), next));
    const second = guard(remove("csi-1"), next);
    const reason = failure("cancelled", { what: "DeleteVolume" });
    client.abort(reason);
    expect(await first).toBe(reason);
    expect(calls[0]?.call.context.signal.aborted).toBe(false);
    calls[0]?.done.resolve(response);
    expect(await second).toBe(response);
  });

  test("the last caller leaves: the work is aborted and keeps its place until it has ended", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const clients = [new AbortController(), new AbortController()];
    const ends = clients.map(({ signal }) => errorOf(guard(remove("csi-1", { signal }), next)));
    const signal = calls[0]?.call.context.signal;
    const reason = failure("cancelled", { what: "DeleteVolume" });
    clients[1]?.abort(reason);
    await ends[1];
    expect(signal?.aborted).toBe(false);
    clients[0]?.abort(reason);
    await ends[0];
    expect(signal?.aborted).toBe(true);
    expect(signal?.reason).toBe(reason);

    const error = await errorOf(guard(remove("csi-1"), next));
    expect(String(error)).toContain("DeleteVolume, being cancelled");
    calls[0]?.done.reject(new Error("stopped"));
    await settled();
    guard(remove("csi-1"), next);
    expect(calls).toHaveLength(2);
  });

  test("a call that is already gone does not leave the key taken", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const reason = failure("shuttingDown", {});
    expect(await errorOf(guard(remove("csi-1", { signal: AbortSignal.abort(reason) }), next))).toBe(reason);
    expect(calls[0]?.call.context.signal.aborted).toBe(true);
    calls[0]?.done.resolve(response);
    await settled();
    guard(remove("csi-1"), next);
    expect(calls).toHaveLength(2);
  });

  test("the deadline that the handler sees is the latest of all callers", () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    guard(remove("csi-1", { deadlineMs: 100 }), next);
    expect(calls[0]?.call.context.deadlineMs).toBe(100);
    guard(remove("csi-1", { deadlineMs: 300 }), next);
    guard(remove("csi-1", { deadlineMs: 200 }), next);
    expect(calls[0]?.call.context.deadlineMs).toBe(300);
    guard(remove("csi-1"), next);
    expect(calls[0]?.call.context.deadlineMs).toBeUndefined();
  });

  test("node calls of one volume exclude each other until the first has really ended, also when its caller has gone", async () => {
    const { calls, next } = handler();
    const guard = inFlightInterceptor();
    const reason = failure("cancelled", { what: "NodeStageVolume" });
    const client = new AbortController();
    const stage = (volumeId: string, context = {}) =>
      fakeCall("NodeStageVolume", NodeStageVolumeRequestSchema, { volumeId }, context);
    const unstage = (volumeId: string) =>
      fakeCall("NodeUnstageVolume", NodeUnstageVolumeRequestSchema, { volumeId });
    const first = errorOf(guard(stage("csi-1", { signal: client.signal }), next));
    expect(isFailure(await errorOf(guard(unstage("csi-1"), next)), "operationInFlight")).toBe(true);
    client.abort(reason);
    expect(await first).toBe(reason);
    for (const call of [unstage("csi-1"), stage("csi-1")]) {
      expect(isFailure(await errorOf(guard(call, next)), "operationInFlight")).toBe(true);
    }
    guard(unstage("csi-2"), next);
    calls[0]?.done.reject(new Error("stopped"));
    await settled();
    guard(unstage("csi-1"), next);
    expect(calls.map(({ call }) => call.context.method)).toEqual([
      "NodeStageVolume",
      "NodeUnstageVolume",
      "NodeUnstageVolume",
    ]);
  });
});
