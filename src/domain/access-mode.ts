/**
 * CSI access modes by their specification names (CSI specification, VolumeCapability.AccessMode.Mode).
 * The SINGLE_NODE_* writer modes differ only on the node; the RDS sees one node in each of them.
 */
export const ACCESS_MODES = [
  "SINGLE_NODE_WRITER",
  "SINGLE_NODE_READER_ONLY",
  "SINGLE_NODE_SINGLE_WRITER",
  "SINGLE_NODE_MULTI_WRITER",
  "MULTI_NODE_READER_ONLY",
  "MULTI_NODE_SINGLE_WRITER",
  "MULTI_NODE_MULTI_WRITER",
] as const;

export type AccessMode = (typeof ACCESS_MODES)[number];

/** Raw block device or filesystem. */
export type AccessType = "block" | "mount";

/** How a workload uses a volume, free of wire types. */
export interface Capability {
  readonly accessMode: AccessMode;
  readonly accessType: AccessType;
  /** Filesystem type; "" means the driver's default. Always "" for block. */
  readonly fsType: string;
  readonly mountFlags: readonly string[];
}

/** Whether the mode can put a volume on more than one node. */
export function isMultiNode(mode: AccessMode): boolean {
  return mode.startsWith("MULTI_NODE_");
}

/**
 * Whether a node may have the volume at several target paths.
 * Source: CSI specification, VolumeCapability.AccessMode.Mode ("can only be published once"), NodePublishVolume.
 */
export function allowsSeveralTargets(mode: AccessMode): boolean {
  return mode === "SINGLE_NODE_MULTI_WRITER" || isMultiNode(mode);
}

/** Filesystems that the driver makes and mounts. */
export const FILESYSTEMS = ["ext4", "xfs"] as const;
export type Filesystem = (typeof FILESYSTEMS)[number];
export const DEFAULT_FILESYSTEM: Filesystem = "ext4";
