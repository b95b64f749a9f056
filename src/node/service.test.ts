import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import process from "node:process";
import type { Capability } from "../domain/access-mode.ts";
import { hostIdentity } from "../domain/host-identity.ts";
import { encodePublishContext } from "../domain/publish-context.ts";
import type { DataPath } from "../host/data-path.ts";
import { createNodeSystem } from "../host/system.ts";
import { createNodeService } from "./service.ts";

const VOLUME = "csi-0123456789abcdef0123456789ab";
const CAPABILITY: Capability = {
  accessMode: "SINGLE_NODE_WRITER",
  accessType: "mount",
  fsType: "",
  mountFlags: [],
};

function service(dataPath: Partial<DataPath> = {}, storageAddresses?: readonly string[]) {
  const refuse = () => Promise.reject(new Error("the data path must not be asked"));
  const whole: DataPath = {
    kind: "loop",
    connect: refuse,
    find: refuse,
    disconnect: refuse,
    abandon: refuse,
    users: refuse,
    rescan: refuse,
    list: refuse,
    readinessProblems: refuse,
    ...dataPath,
  };
  return createNodeService({
    system: createNodeSystem({ exec: refuse }),
    dataPath: whole,
    nodeId: "worker-1",
    clusterId: "c",
    nqnPrefix: "nqn.2000-02.com.mikrotik",
    maxVolumesPerNode: 7,
    ...(storageAddresses === undefined ? {} : { storageAddresses }),
  });
}

describe("a place for a mount that cannot be one", () => {
  const publishContext = encodePublishContext({
    nqn: `nqn.2000-02.com.mikrotik:${VOLUME}.1`,
    hostNqn: hostIdentity("c", "worker-1").hostNqn,
    ...{ address: "192.0.2.1", port: 4_420, sizeBytes: 1n << 30n, filesystemState: "new", ctrlLossTmo: -1 },
    ...{
      reconnectDelay: 5,
      keepAliveTmo: 5,
      fastIoFailTmo: -1,
      nrIoQueues: 0,
      queueSize: 0,
      readonly: false,
    },
  });
  const request = {
    volumeId: VOLUME,
    publishContext,
    capability: CAPABILITY,
    volumeContext: {},
    readonly: false,
  };
  const file = process.execPath;
  const inFile = `${file}/globalmount`;

  test("its parent is a file: FAILED_PRECONDITION with the parent's path, not a defect", async () => {
    const refused = {
      id: "pathOccupied",
      code: 9,
      message: expect.stringContaining(`${file} is occupied by a file`),
    };
    const { stage, publish } = service();
    await expect(stage({ ...request, stagingTargetPath: inFile })).rejects.toMatchObject(refused);
    await expect(
      publish({ ...request, stagingTargetPath: inFile, targetPath: tmpdir() }),
    ).rejects.toMatchObject(refused);
    await expect(
      publish({ ...request, stagingTargetPath: tmpdir(), targetPath: inFile }),
    ).rejects.toMatchObject(refused);
  });

  test("nothing can be at such a place, so there is nothing to undo or to measure", async () => {
    const { unpublish, stats } = service({ list: async () => [] });
    await expect(unpublish({ volumeId: VOLUME, targetPath: inFile })).resolves.toBeUndefined();
    await expect(stats({ volumeId: VOLUME, volumePath: inFile })).rejects.toMatchObject({ code: 5 });
  });
});

describe("the storage address", () => {
  const stageAt = (address: string, allowed?: readonly string[]) => {
    // Whatever gets past the address is stopped by the data path.
    const { stage } = service({ list: () => Promise.reject(new Error("asked for connections")) }, allowed);
    return stage({
      volumeId: VOLUME,
      publishContext: encodePublishContext({
        nqn: `nqn.2000-02.com.mikrotik:${VOLUME}.1`,
        hostNqn: hostIdentity("c", "worker-1").hostNqn,
        ...{ address, port: 4_420, sizeBytes: 1n << 30n, filesystemState: "new", ctrlLossTmo: -1 },
        ...{
          reconnectDelay: 5,
          keepAliveTmo: 5,
          fastIoFailTmo: -1,
          nrIoQueues: 0,
          queueSize: 0,
          readonly: false,
        },
      }),
      stagingTargetPath: tmpdir(),
      capability: { ...CAPABILITY, accessType: "block" },
      volumeContext: {},
    });
  };

  test("one that the node's own configuration does not have is never connected to", async () => {
    for (const foreign of ["198.51.100.66", "::ffff:198.51.100.66", "2001:db8::66", "127.0.0.1"]) {
      await expect(stageAt(foreign, ["192.0.2.1", "2001:db8::1"])).rejects.toMatchObject({
        id: "storageAddressForeign",
        message: expect.stringContaining(`${foreign}, but this node connects to 192.0.2.1, 2001:db8::1 only`),
      });
    }
  });

  test("its own are connected to, however they are spelled; without configuration any", async () => {
    const allowed = ["192.0.2.1", "2001:db8::1"];
    for (const own of ["192.0.2.1", "::ffff:192.0.2.1", "2001:db8::1", "2001:DB8:0::0001"])
      await expect(stageAt(own, allowed)).rejects.toThrow("asked for connections");
    for (const none of [undefined, []])
      await expect(stageAt("198.51.100.66", none)).rejects.toThrow("asked for connections");
  });
});

describe("required fields, in the order volume id, paths, capability", () => {
  const empty = {
    volumeId: "",
    publishContext: {},
    stagingTargetPath: "",
    targetPath: "",
    volumeContext: {},
    volumePath: "",
  };
  const request = { ...empty, capability: undefined, readonly: false };
  const at = { stagingTargetPath: "/tmp/s", targetPath: "/tmp/t", volumePath: "/tmp/v" };
  const missing = (field: string) => ({
    id: "fieldMissing",
    code: 3,
    message: expect.stringContaining(`${field} is required`),
  });

  test("stage", async () => {
    const { stage } = service();
    await expect(stage(request)).rejects.toMatchObject(missing("volume_id"));
    await expect(stage({ ...request, volumeId: "x" })).rejects.toMatchObject(missing("staging_target_path"));
    await expect(stage({ ...request, ...at, volumeId: "x" })).rejects.toMatchObject(
      missing("volume_capability"),
    );
    const whole = { ...request, ...at, capability: CAPABILITY };
    await expect(stage({ ...whole, volumeId: "x" })).rejects.toMatchObject({ code: 5 });
    await expect(stage({ ...whole, volumeId: VOLUME })).rejects.toMatchObject(missing("publish_context.nqn"));
    await expect(stage({ ...whole, volumeId: "x".repeat(256) })).rejects.toMatchObject({ code: 5 });
    await expect(stage({ ...whole, volumeId: "x".repeat(257) })).rejects.toMatchObject({
      id: "fieldTooLong",
    });
  });

  test("publish", async () => {
    const { publish } = service();
    await expect(publish(request)).rejects.toMatchObject(missing("volume_id"));
    await expect(publish({ ...request, volumeId: "x" })).rejects.toMatchObject(missing("target_path"));
    await expect(publish({ ...request, ...at, volumeId: "x" })).rejects.toMatchObject(
      missing("volume_capability"),
    );
    const whole = { ...request, ...at, capability: CAPABILITY };
    await expect(publish({ ...whole, volumeId: VOLUME, stagingTargetPath: "" })).rejects.toMatchObject({
      id: "stagingPathMissing",
      code: 9,
    });
    await expect(publish({ ...whole, volumeId: "x" })).rejects.toMatchObject({ code: 5 });
  });

  test("unstage, unpublish, stats", async () => {
    const { unstage, unpublish, stats } = service();
    await expect(unstage(request)).rejects.toMatchObject(missing("volume_id"));
    await expect(unstage({ ...request, volumeId: "x" })).rejects.toMatchObject(
      missing("staging_target_path"),
    );
    await expect(unpublish(request)).rejects.toMatchObject(missing("volume_id"));
    await expect(unpublish({ ...request, volumeId: "x" })).rejects.toMatchObject(missing("target_path"));
    await expect(stats(request)).rejects.toMatchObject(missing("volume_id"));
    await expect(stats({ ...request, volumeId: "x" })).rejects.toMatchObject(missing("volume_path"));
  });
});

describe("service", () => {
  test("info", () => {
    expect(service().info()).toEqual({ nodeId: "worker-1", maxVolumesPerNode: 7 });
  });
});
