import { describe, expect, test } from "bun:test";
import { status } from "@grpc/grpc-js";
import { serviceClient } from "../../test/support/csi-client.ts";
import { rejection, withServer } from "../../test/support/csi-server.ts";
import { codeOf } from "../../test/support/rpc.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { NodeService } from "../node/service.ts";
import {
  Node,
  NodeExpandVolumeResponseSchema,
  NodeGetCapabilitiesResponseSchema,
  NodeGetInfoResponseSchema,
  NodeGetVolumeStatsResponseSchema,
  NodePublishVolumeResponseSchema,
  NodeStageVolumeResponseSchema,
  StorageHealthErrorType,
  VolumeHealthErrorType,
} from "./gen/csi_pb.ts";
import { nodeService } from "./node.ts";

function operations(seen: unknown[]): NodeService {
  const note =
    (name: string) =>
    async ({ signal, ...rest }: { readonly signal?: AbortSignal | undefined }): Promise<void> => {
      expect(signal).toBeInstanceOf(AbortSignal);
      seen.push([name, rest]);
    };
  return {
    stage: note("stage"),
    // Its caller's end does not end it.
    unstage: async (request) => {
      expect(Object.keys(request)).not.toContain("signal");
      seen.push(["unstage", request]);
    },
    publish: note("publish"),
    unpublish: note("unpublish"),
    stats: async ({ volumeId }) => {
      if (volumeId === "gone") throw failure("volumeNotFound", { volume: volumeId });
      return {
        usage: [
          { unit: "bytes", total: 1n << 40n, used: undefined, available: undefined },
          { unit: "inodes", total: 10n, used: 3n, available: 7n },
        ],
        condition: { abnormal: true, message: "its device has vanished" },
      };
    },
    expand: async ({ signal, ...rest }) => {
      expect(signal).toBeInstanceOf(AbortSignal);
      seen.push(["expand", rest]);
      return 7n << 30n;
    },
    volumeHealth: async ({ volumeId, signal, ...paths }) => {
      expect(signal).toBeInstanceOf(AbortSignal);
      if (volumeId === "gone") throw failure("volumePathNotFound", { volume: volumeId, path: "/p" });
      seen.push(["volumeHealth", paths]);
      return [
        { status: "degraded", reason: "FilesystemErrors", message: "the kernel has counted errors" },
        { status: "inaccessible", reason: "NotMounted", message: "nothing is mounted\u0007" },
      ];
    },
    storageHealth: async () => [
      { unreachable: true, reason: "StorageUnreachable", message: "no answer" },
      { unreachable: false, reason: "StorageSlow", message: "slow" },
    ],
    info: () => ({ nodeId: "node-1", maxVolumesPerNode: 64 }),
  };
}

test("requests arrive without wire types and without secrets", async () => {
  const seen: unknown[] = [];
  await withServer([nodeService(operations(seen))], async (client) => {
    const volumeCapability = {
      accessType: { case: "mount", value: { fsType: "ext4", mountFlags: ["noatime"] } },
      accessMode: { mode: 1 },
    };
    const common = {
      volumeId: "v",
      publishContext: { nqn: "n" },
      stagingTargetPath: "/stage",
      volumeContext: { a: "b" },
      secrets: { password: "hunter2" },
    };
    await client.start(Node, "nodeStageVolume", NodeStageVolumeResponseSchema, common).result;
    await client.start(Node, "nodePublishVolume", NodePublishVolumeResponseSchema, {
      ...common,
      targetPath: "/target",
      readonly: true,
      volumeCapability,
    }).result;
  });
  const passed = { volumeId: "v", publishContext: { nqn: "n" }, stagingTargetPath: "/stage" };
  expect(seen).toEqual([
    ["stage", { ...passed, capability: undefined, volumeContext: { a: "b" } }],
    [
      "publish",
      {
        ...passed,
        targetPath: "/target",
        readonly: true,
        capability: {
          accessMode: "SINGLE_NODE_WRITER",
          accessType: "mount",
          fsType: "ext4",
          mountFlags: ["noatime"],
        },
      },
    ],
  ]);
});

test("statistics, information and capabilities", async () => {
  await withServer([nodeService(operations([]))], async (client) => {
    const stats = (volumeId: string) =>
      client.start(Node, "nodeGetVolumeStats", NodeGetVolumeStatsResponseSchema, {
        volumeId,
        volumePath: "/p",
      });
    const { usage, volumeCondition } = await stats("v").result;
    expect(volumeCondition).toMatchObject({ abnormal: true, message: "its device has vanished" });
    expect(usage.map(({ unit, total, used, available }) => [unit, total, used, available])).toEqual([
      [1, 1n << 40n, 0n, 0n],
      [2, 10n, 3n, 7n],
    ]);
    expect((await rejection(stats("gone"))).code).toBe(status.NOT_FOUND);
    const info = await client.start(Node, "nodeGetInfo", NodeGetInfoResponseSchema, {}).result;
    expect([info.nodeId, info.maxVolumesPerNode, info.accessibleTopology]).toEqual([
      "node-1",
      64n,
      undefined,
    ]);
    const { capabilities } = await client.start(
      Node,
      "nodeGetCapabilities",
      NodeGetCapabilitiesResponseSchema,
      {},
    ).result;
    expect(capabilities.map(({ type }) => type.value?.type)).toEqual([1, 2, 3, 5, 4]);
  });
});

test("expansion: the range or its absence, and the measured size", async () => {
  const seen: unknown[] = [];
  await withServer([nodeService(operations(seen))], async (client) => {
    const expand = (more: object) =>
      client.start(Node, "nodeExpandVolume", NodeExpandVolumeResponseSchema, {
        volumeId: "v",
        volumePath: "/p",
        secrets: { password: "hunter2" },
        ...more,
      }).result;
    const { capacityBytes } = await expand({
      stagingTargetPath: "/stage",
      capacityRange: { requiredBytes: 5n, limitBytes: -1n },
      volumeCapability: { accessType: { case: "block", value: {} }, accessMode: { mode: 5 } },
    });
    expect(capacityBytes).toBe(7n << 30n);
    await expand({});
  });
  expect(seen).toEqual([
    [
      "expand",
      {
        volumeId: "v",
        volumePath: "/p",
        range: { requiredBytes: 5n, limitBytes: -1n },
        stagingTargetPath: "/stage",
        capability: {
          accessMode: "MULTI_NODE_MULTI_WRITER",
          accessType: "block",
          fsType: "",
          mountFlags: [],
        },
      },
    ],
    [
      "expand",
      { volumeId: "v", volumePath: "/p", range: undefined, stagingTargetPath: "", capability: undefined },
    ],
  ]);
});

describe("the dialect of health", () => {
  test.each([
    ["csi-1.12", [1, 2, 3, 5, 4]],
    ["csi-1.13", [1, 2, 3, 5, 7, 8]],
    ["both", [1, 2, 3, 5, 4, 7, 8]],
  ] as const)("%s: capabilities, RPCs and VolumeCondition go together", async (dialect, wanted) => {
    const seen: unknown[] = [];
    await withServer([nodeService(operations(seen), dialect)], async (_, { path }) => {
      const node = serviceClient(Node, path);
      try {
        const { capabilities } = await node.nodeGetCapabilities();
        expect(capabilities.map(({ type }) => type.value?.type)).toEqual([...wanted]);
        const { volumeCondition } = await node.nodeGetVolumeStats({ volumeId: "v", volumePath: "/p" });
        expect(volumeCondition?.abnormal).toBe(dialect === "csi-1.13" ? undefined : true);
        const ask = () => node.nodeGetVolumeHealth({ volumeId: "v", stagingTargetPath: "/stage" });
        if (dialect === "csi-1.12") {
          expect(await codeOf(ask())).toBe("UNIMPLEMENTED");
          expect(await codeOf(node.nodeGetStorageHealth())).toBe("UNIMPLEMENTED");
          return;
        }
        const { volumeHealth } = await ask();
        expect(volumeHealth).toMatchObject({
          volumeId: "v",
          healthStatuses: [
            { status: VolumeHealthErrorType.DEGRADED, reason: "FilesystemErrors" },
            { status: VolumeHealthErrorType.INACCESSIBLE, reason: "NotMounted" },
          ],
        });
        expect(volumeHealth?.healthStatuses[1]?.message).not.toContain("\u0007");
        expect(seen).toEqual([["volumeHealth", { volumePublishPath: "", stagingTargetPath: "/stage" }]]);
        expect(await codeOf(node.nodeGetVolumeHealth({ volumeId: "gone" }))).toBe("NOT_FOUND");
        const { backendHealth } = await node.nodeGetStorageHealth();
        expect(backendHealth).toMatchObject([
          { status: StorageHealthErrorType.STORAGE_UNREACHABLE, reason: "StorageUnreachable" },
          { status: StorageHealthErrorType.STORAGE_DEGRADED, reason: "StorageSlow", message: "slow" },
        ]);
      } finally {
        node.close();
      }
    });
  });
});
