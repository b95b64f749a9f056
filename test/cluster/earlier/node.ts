import { dlopen, FFIType } from "bun:ffi";
import { execFileSync } from "node:child_process";
import { existsSync, lstatSync, mkdirSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { dirname } from "node:path";
import { type BoundService, service } from "../../../src/csi/bridge.ts";
import { Node, NodeServiceCapability_RPC_Type as Rpc } from "../../../src/csi/gen/csi_pb.ts";
import { createNodeSystem } from "../../../src/host/system.ts";
import { TOOL_PATH } from "../../../src/host/tools.ts";
import { createLoopDataPath } from "../../../src/nvme/loop.ts";
import { earlierNqn } from "../../support/earlier-commands.ts";

/** A node of the earlier driver. */
export interface EarlierNode {
  readonly nodeId: string;
  /** Where the simulated RDS writes its exports. */
  readonly exportsDir: string;
  /** Directory of the node's loop devices: that of this driver, as a kernel has one list of connections. */
  readonly stateDir: string;
}

/**
 * The node service of the earlier Go driver: a filesystem is mounted at the staging path and bound to the target; a block volume is nothing at the staging path,
 * and a device node at the target. A connection is a loop device here, which outlives the process as a NVMe/TCP connection does.
 */
export function earlierNode({ nodeId, exportsDir, stateDir }: EarlierNode): BoundService {
  const dataPath = createLoopDataPath(createNodeSystem(), {
    ...{ exportsDir, stateDir, nqnPrefix: "nqn.2000-02.com.mikrotik" },
  });
  const connect = (handle: string, address: string) =>
    dataPath.connect({
      ...{ address, port: 4420, nqn: earlierNqn(handle) },
      ...{ hostNqn: "nqn.2014-08.org.nvmexpress:uuid:found-by-nvme-cli", hostId: "x" },
      ...{ ctrlLossTmo: -1, reconnectDelay: 5, keepAliveTmo: 5 },
      ...{ fastIoFailTmo: -1, nrIoQueues: 0, queueSize: 0 },
    });
  return service(Node, {
    nodeGetCapabilities: async () => ({
      capabilities: [{ type: { case: "rpc" as const, value: { type: Rpc.STAGE_UNSTAGE_VOLUME } } }],
    }),
    nodeGetInfo: async () => ({
      nodeId,
      accessibleTopology: { segments: { "topology.rds.csi.srvlab.io/zone": "default" } },
    }),
    nodeStageVolume: async ({ volumeId, stagingTargetPath, volumeCapability, publishContext }) => {
      const { path } = await connect(volumeId, publishContext.nvme_address ?? "");
      if (volumeCapability?.accessType.case === "block" || isMounted(stagingTargetPath)) return {};
      if (run("blkid", "-p", "-o", "value", "-s", "TYPE", path) === "") run("mkfs.ext4", "-q", "-F", path);
      mkdirSync(stagingTargetPath, { recursive: true });
      run("mount", "-t", "ext4", path, stagingTargetPath);
      return {};
    },
    nodePublishVolume: async ({ volumeId, stagingTargetPath, targetPath, volumeCapability }) => {
      if (volumeCapability?.accessType.case === "block") {
        const { path } = await connect(volumeId, "");
        mkdirSync(dirname(targetPath), { recursive: true, mode: 0o750 });
        if (!existsSync(targetPath)) makeNode(targetPath, statSync(path).rdev);
        return {};
      }
      mkdirSync(targetPath, { recursive: true });
      if (!isMounted(targetPath))
        run("mount", "-o", "bind,nosuid,nodev,noexec", stagingTargetPath, targetPath);
      return {};
    },
    nodeUnpublishVolume: async ({ targetPath }) => {
      if (!existsSync(targetPath)) return {};
      if (!lstatSync(targetPath).isDirectory()) unlinkSync(targetPath);
      else {
        if (isMounted(targetPath)) run("umount", targetPath);
        // The Go driver deletes what is there, too. A test needs no such thing.
        rmdirSync(targetPath);
      }
      return {};
    },
    nodeUnstageVolume: async ({ volumeId, stagingTargetPath }) => {
      if (isMounted(stagingTargetPath)) run("umount", stagingTargetPath);
      await dataPath.disconnect(earlierNqn(volumeId));
      return {};
    },
  });
}

/** @throws when it fails, but for blkid, which finds nothing on a new disk */
function run(program: string, ...args: string[]): string {
  try {
    const env = { PATH: TOOL_PATH.join(":") };
    return execFileSync(program, args, { encoding: "utf8", env, timeout: 60_000 }).trim();
  } catch (error) {
    if (program === "blkid" && (error as { status?: number }).status === 2) return "";
    throw error;
  }
}

const isMounted = (path: string): boolean =>
  existsSync(path) && statSync(path).dev !== statSync(dirname(path)).dev;

/** mknod(2); the image has no program for it. */
function makeNode(path: string, device: number): void {
  const { symbols, close } = dlopen("libc.so.6", {
    mknod: { args: [FFIType.cstring, FFIType.u32, FFIType.u64], returns: FFIType.i32 },
  });
  const S_IFBLK = 0o060000;
  const code = symbols.mknod(Buffer.from(`${path}\0`), S_IFBLK | 0o660, BigInt(device));
  close();
  if (code !== 0) throw new Error(`mknod ${path} failed`);
}
