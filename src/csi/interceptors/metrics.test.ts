import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ManualClock } from "../../../test/support/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { buildInfo } from "../../observability/build-info.ts";
import { createMetrics } from "../../observability/metrics.ts";
import { fakeCall } from "../call.fixture.ts";
import { DeleteVolumeRequestSchema, DeleteVolumeResponseSchema } from "../gen/csi_pb.ts";
import { metricsInterceptor } from "./metrics.ts";

test("counts by code, measures, and knows what runs", async () => {
  const clock = new ManualClock();
  const metrics = createMetrics(buildInfo);
  const interceptor = metricsInterceptor(metrics, clock);
  const inFlight = async () => (await metrics.operationsInFlight.get()).values[0]?.value;
  const run = (error?: unknown) =>
    interceptor(fakeCall("DeleteVolume", DeleteVolumeRequestSchema, {}), async () => {
      expect(await inFlight()).toBe(1);
      await clock.advance(300);
      if (error !== undefined) throw error;
      return create(DeleteVolumeResponseSchema);
    }).catch(() => {});
  await run();
  // There is a sample before the first defect.
  expect(await metrics.registry.metrics()).toContain('{method="DeleteVolume",grpc_code="INTERNAL"} 0');
  await run(failure("recordConflict", { volume: "v", attempts: 3 }));
  await run(new Error("x"));
  await run(failure("unimplemented", { method: "DeleteVolume" }));
  expect(await inFlight()).toBe(0);
  const text = await metrics.registry.metrics();
  for (const code of ["OK", "ABORTED", "INTERNAL", "UNIMPLEMENTED"]) {
    expect(text).toContain(`rds_csi_operations_total{method="DeleteVolume",grpc_code="${code}"} 1`);
  }
  expect(text).toContain('rds_csi_operation_duration_seconds_bucket{le="0.25",method="DeleteVolume"} 0');
  expect(text).toContain('rds_csi_operation_duration_seconds_bucket{le="0.5",method="DeleteVolume"} 4');
  expect(text).toContain('rds_csi_operation_duration_seconds_sum{method="DeleteVolume"} 1.2');
});
