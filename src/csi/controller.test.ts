import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Stack, startStack } from "../../test/support/rds-stack.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { grpcCodeName } from "../domain/errors/grpc-code.ts";
import { fakeCall } from "./call.fixture.ts";
import { controllerService } from "./controller.ts";
import {
  ControllerExpandVolumeRequestSchema,
  ControllerModifyVolumeRequestSchema,
  ControllerPublishVolumeRequestSchema,
  ControllerUnpublishVolumeRequestSchema,
  DeleteVolumeRequestSchema,
  ValidateVolumeCapabilitiesRequestSchema,
  VolumeCapability_AccessMode_Mode,
} from "./gen/csi_pb.ts";
import type { RpcCall } from "./rpc.ts";

let stack: Stack;
beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.close());

const capability = {
  accessType: { case: "block", value: {} },
  accessMode: { mode: VolumeCapability_AccessMode_Mode.SINGLE_NODE_WRITER },
} as const;

/** Code and summary that a call is answered with. */
async function answer({ method, request, context }: RpcCall): Promise<string> {
  const handler = controllerService(stack).handlers[method.localName];
  try {
    await (handler as (request: unknown, context: unknown) => Promise<unknown>)(request, context);
    return "OK";
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${grpcCodeName(error.code)}: ${error.summary}`;
  }
}

const remove = (volumeId: string) =>
  answer(fakeCall("DeleteVolume", DeleteVolumeRequestSchema, { volumeId }));
const unpublish = (volumeId: string, nodeId = "") =>
  answer(fakeCall("ControllerUnpublishVolume", ControllerUnpublishVolumeRequestSchema, { volumeId, nodeId }));
const publish = (volumeId: string, nodeId = "node-a", over: object = { volumeCapability: capability }) => {
  const request = { volumeId, nodeId, ...over };
  return answer(fakeCall("ControllerPublishVolume", ControllerPublishVolumeRequestSchema, request));
};
const expand = (volumeId: string, requiredBytes = 1n) => {
  const request = { volumeId, capacityRange: { requiredBytes } };
  return answer(fakeCall("ControllerExpandVolume", ControllerExpandVolumeRequestSchema, request));
};
const modify = (volumeId: string, mutableParameters: Record<string, string> = { pool: "x" }) =>
  answer(
    fakeCall("ControllerModifyVolume", ControllerModifyVolumeRequestSchema, { volumeId, mutableParameters }),
  );
const validate = (volumeId: string) => {
  const request = { volumeId, volumeCapabilities: [capability] };
  return answer(fakeCall("ValidateVolumeCapabilities", ValidateVolumeCapabilitiesRequestSchema, request));
};

for (const handle of ['"; /disk/remove [find]; :put "$x', "csi-../../x", "csi-1", `CSI-${"0".repeat(28)}`]) {
  test(`no volume can have the handle ${JSON.stringify(handle)}, so the RDS is not asked`, async () => {
    const absent = `NOT_FOUND: volume ${JSON.stringify(handle)} does not exist on the RDS`;
    expect(await remove(handle)).toBe("OK");
    expect([await unpublish(handle), await unpublish(handle, handle)]).toEqual(["OK", "OK"]);
    expect(await Promise.all([publish, expand, modify, validate].map((call) => call(handle)))).toEqual(
      Array(4).fill(absent),
    );
    expect(stack.commandsSince()).toEqual([]);
  });
}

test("required fields are named in the order of the specification", async () => {
  const missing = (field: string) => `INVALID_ARGUMENT: ${field} is required and was empty`;
  for (const call of [remove, unpublish, publish, expand, modify, validate])
    expect(await call("")).toBe(missing("volume_id"));
  expect(await publish("", "")).toBe(missing("volume_id"));
  expect(await publish("x", "", {})).toBe(missing("node_id"));
  expect(await publish("x", "node-a", {})).toBe(missing("volume_capability"));
  expect(await expand("x", 0n)).toBe(missing("capacity_range"));
  expect(stack.commandsSince()).toEqual([]);
});
