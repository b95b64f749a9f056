import { access, constants } from "node:fs/promises";

/** The directories of programs; no other part of the environment is used. */
export const TOOL_PATH = [
  "/usr/local/sbin",
  "/usr/local/bin",
  "/usr/sbin",
  "/usr/bin",
  "/sbin",
  "/bin",
] as const;

/** A program outside the driver that the node needs. */
export interface NodeTool {
  readonly name: string;
  /** Debian package. */
  readonly package: string;
  readonly why: string;
  /** Only this data path needs it; undefined means both. */
  readonly dataPath?: "nvme-tcp" | "loop";
}

/**
 * Everything that the node executes, apart from itself (see helper.ts). The image and the lab are made from this list, the
 * readiness check walks it, and the compiler refuses to execute anything else (see exec.ts).
 */
export const NODE_TOOLS = [
  {
    name: "nvme",
    package: "nvme-cli",
    why: "connects and disconnects NVMe/TCP controllers",
    dataPath: "nvme-tcp",
  },
  { name: "fuser", package: "psmisc", why: "names processes that hold a device open" },
  {
    name: "losetup",
    package: "mount",
    why: "tells which file a loop device is over; attaches the simulator's images",
  },
  { name: "mount", package: "mount", why: "mounts, bind mounts, remounts read-only" },
  { name: "umount", package: "mount", why: "unmounts" },
  { name: "blkid", package: "util-linux", why: "recognises what a device holds" },
  {
    name: "blockdev",
    package: "util-linux",
    why: "drops a device's page cache; switches a device to read-only",
  },
  { name: "e2fsck", package: "e2fsprogs", why: "checks an ext4 that is marked with errors" },
  { name: "mkfs.ext4", package: "e2fsprogs", why: "makes ext4 filesystems" },
  { name: "mkfs.xfs", package: "xfsprogs", why: "makes XFS filesystems" },
  {
    name: "modprobe",
    package: "kmod",
    why: "loads the kernel module nvme-tcp",
    dataPath: "nvme-tcp",
  },
  { name: "resize2fs", package: "e2fsprogs", why: "grows ext4 filesystems" },
  { name: "xfs_growfs", package: "xfsprogs", why: "grows XFS filesystems" },
  { name: "stat", package: "coreutils", why: "stat and statfs of paths that may hang" },
] as const satisfies readonly NodeTool[];

/** A program that the node may execute: one of the list, or a path, that of the driver itself. */
export type ToolName = (typeof NODE_TOOLS)[number]["name"] | `/${string}`;

/** The programs of NODE_TOOLS that this node lacks, as sentences for the readiness check. */
export async function missingTools(dataPath: "nvme-tcp" | "loop"): Promise<readonly string[]> {
  const problems: string[] = [];
  for (const tool of NODE_TOOLS as readonly NodeTool[]) {
    if (tool.dataPath !== undefined && tool.dataPath !== dataPath) continue;
    const found = await Promise.all(
      TOOL_PATH.map((directory) =>
        access(`${directory}/${tool.name}`, constants.X_OK).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (!found.includes(true))
      problems.push(`the program ${tool.name} is missing: it ${tool.why} (Debian package ${tool.package})`);
  }
  return problems;
}
