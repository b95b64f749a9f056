import { describe, expect, test } from "bun:test";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { isFailure } from "../../domain/errors/driver-error.ts";
import { fakeCall } from "../call.fixture.ts";
import {
  ControllerPublishVolumeRequestSchema,
  CreateSnapshotRequestSchema,
  CreateVolumeRequestSchema,
  DeleteVolumeResponseSchema,
  ListVolumesRequestSchema,
  NodeStageVolumeRequestSchema,
} from "../gen/csi_pb.ts";
import { sizeLimitInterceptor } from "./size-limits.ts";

async function outcome<S extends DescMessage>(
  name: string,
  schema: S,
  request: MessageInitShape<S>,
): Promise<string> {
  let reached = false;
  try {
    await sizeLimitInterceptor(fakeCall(name, schema, request), async () => {
      reached = true;
      return create(DeleteVolumeResponseSchema);
    });
    return "ok";
  } catch (error) {
    expect(reached).toBe(false);
    if (isFailure(error, "fieldTooLong") || isFailure(error, "fieldInvalid")) return error.summary;
    throw error;
  }
}

const publish = (request: MessageInitShape<typeof ControllerPublishVolumeRequestSchema>) =>
  outcome("ControllerPublishVolume", ControllerPublishVolumeRequestSchema, request);
const make = (request: MessageInitShape<typeof CreateVolumeRequestSchema>) =>
  outcome("CreateVolume", CreateVolumeRequestSchema, { name: "n", ...request });

describe("sizeLimitInterceptor", () => {
  test("identifiers up to 256 bytes", async () => {
    expect(await publish({ volumeId: "v".repeat(256), nodeId: "n".repeat(256) })).toBe("ok");
    expect(await publish({ volumeId: "v", nodeId: "n".repeat(257) })).toBe(
      "node_id is 257 bytes long, the limit is 256 bytes",
    );
    expect(await publish({ volumeId: "é".repeat(129) })).toStartWith("volume_id is 258 bytes long");
  });

  test("names by their own rules, for volumes and snapshots", async () => {
    const snapshot = (name: string) =>
      outcome("CreateSnapshot", CreateSnapshotRequestSchema, { name, sourceVolumeId: "v" });
    for (const create of [(name: string) => make({ name }), snapshot]) {
      expect(await create("🚲".repeat(32))).toBe("ok");
      expect(await create("n".repeat(129))).toBe("name is 129 bytes long, the limit is 128 bytes");
      expect(await create("a\u009fb")).toBe("name is invalid: it contains the control character U+009F");
    }
  });

  test("maps up to 4 KiB of keys and values, secrets are not measured", async () => {
    const value = "x".repeat(4_095);
    expect(await make({ parameters: { k: value } })).toBe("ok");
    expect(await make({ parameters: { kk: value } })).toBe(
      "parameters is 4097 bytes long, the limit is 4096 bytes",
    );
    expect(await make({ secrets: { k: "x".repeat(10_000) } })).toBe("ok");
  });

  test("nested fields are named by their path", async () => {
    const capability = (fsType: string, mountFlags: string[]) => ({
      accessType: { case: "mount" as const, value: { fsType, mountFlags } },
    });
    expect(
      await make({ volumeCapabilities: [capability("ext4", []), capability("x".repeat(129), [])] }),
    ).toStartWith("volume_capabilities[1].mount.fs_type is 129 bytes");
    expect(await make({ volumeCapabilities: [capability("ext4", ["x".repeat(4_097)])] })).toStartWith(
      "volume_capabilities[0].mount.mount_flags is 4097 bytes",
    );
    const requisite = [{ segments: { zone: "x".repeat(5_000) } }];
    expect(await make({ accessibilityRequirements: { requisite } })).toStartWith(
      "accessibility_requirements.requisite[0].segments is 5004 bytes",
    );
  });

  test("paths follow the system's limit; a strange token is left to its reader", async () => {
    const stage = (stagingTargetPath: string) =>
      outcome("NodeStageVolume", NodeStageVolumeRequestSchema, { volumeId: "v", stagingTargetPath });
    expect(await stage(`/${"p".repeat(4_095)}`)).toBe("ok");
    expect(await stage(`/${"p".repeat(4_096)}`)).toStartWith("staging_target_path is 4097 bytes");
    expect(await outcome("ListVolumes", ListVolumesRequestSchema, { startingToken: "t".repeat(300) })).toBe(
      "ok",
    );
  });
});
