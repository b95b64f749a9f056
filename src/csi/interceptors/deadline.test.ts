import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ManualClock, settled } from "../../../test/support/clock.ts";
import { systemClock } from "../../domain/clock.ts";
import { failure, isFailure } from "../../domain/errors/driver-error.ts";
import { deferred, fakeCall } from "../call.fixture.ts";
import { DeleteVolumeRequestSchema, DeleteVolumeResponseSchema } from "../gen/csi_pb.ts";
import type { RpcCall } from "../rpc.ts";
import { deadlineInterceptor } from "./deadline.ts";

const response = create(DeleteVolumeResponseSchema);
const call = (context: Partial<RpcCall["context"]> = {}) =>
  fakeCall("DeleteVolume", DeleteVolumeRequestSchema, { volumeId: "v" }, context);

function start(clock: ManualClock, context: Partial<RpcCall["context"]> = {}) {
  const done = deferred<typeof response>();
  let inner: RpcCall | undefined;
  let outcome: unknown = "pending";
  const interceptor = deadlineInterceptor(clock, 60);
  interceptor(call(context), (given) => {
    inner = given;
    return done.promise;
  }).then(
    (value) => {
      outcome = value;
    },
    (error: unknown) => {
      outcome = error;
    },
  );
  return { done, signal: () => inner?.context.signal, context: () => inner?.context, outcome: () => outcome };
}

describe("deadlineInterceptor", () => {
  test("without a deadline of the client: the default, also for a handler that hangs", async () => {
    const clock = new ManualClock();
    const run = start(clock);
    expect(run.context()?.deadlineMs).toBe(60_000);
    await clock.advance(59_999);
    expect(run.outcome()).toBe("pending");
    await clock.advance(1);
    expect(isFailure(run.outcome(), "deadlineExceeded")).toBe(true);
    expect(String(run.outcome())).toContain("DeleteVolume did not finish within 60 s");
    expect(run.signal()?.aborted).toBe(true);
  });

  test("the client's own deadline before the default", async () => {
    const clock = new ManualClock();
    const asked = start(clock, { deadlineMs: 100_000 });
    await clock.advance(90_000);
    expect(asked.outcome()).toBe("pending");
    await clock.advance(10_000);
    expect(isFailure(asked.outcome(), "deadlineExceeded")).toBe(true);
  });

  test("a deadline in a far future is not mistaken for one that has passed", async () => {
    const done = deferred<typeof response>();
    const interceptor = deadlineInterceptor(systemClock, 1);
    const result = interceptor(call({ deadlineMs: 1e13 }), () => done.promise);
    await systemClock.sleep(5);
    done.resolve(response);
    expect(await result).toBe(response);
  });

  test("a deadline that has passed already", async () => {
    const clock = new ManualClock();
    await clock.advance(5_000);
    const late = start(clock, { deadlineMs: 1_000 });
    await clock.advance(0);
    expect(isFailure(late.outcome(), "deadlineExceeded")).toBe(true);
  });

  test("an answer in time passes, and leaves neither timer nor abort behind", async () => {
    const clock = new ManualClock();
    const run = start(clock);
    run.done.resolve(response);
    await settled();
    expect(run.outcome()).toBe(response);
    expect(clock.sleeping).toBe(0);
    expect(run.signal()?.aborted).toBe(false);
  });

  test("a cancelled call is answered at once with the reason, although the handler hangs", async () => {
    const clock = new ManualClock();
    const client = new AbortController();
    const run = start(clock, { signal: client.signal });
    const reason = failure("cancelled", { what: "DeleteVolume" });
    client.abort(reason);
    await settled();
    expect(run.outcome()).toBe(reason);
    expect(run.signal()?.reason).toBe(reason);
    expect(clock.sleeping).toBe(0);
  });
});
