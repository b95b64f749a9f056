import type { FlagSpec } from "../console/render.ts";
import type { ArgumentSpec, PropertySpec } from "../language/schema.ts";
import { knownProperties, type Listing } from "./list-menu.ts";

const MAX_SIZE = (1n << 63n) - 1n;

/** Types of /disk items (facts section 3.2). */
export const DISK_TYPES = [
  "raid",
  "nvme-tcp",
  "iscsi",
  "nfs",
  "smb",
  "partition",
  "tmpfs",
  "ramdisk",
  "crypted",
  "sshfs",
  "file",
  "hardware",
];

/** The arguments of /disk add and set, with the version that introduced it (facts sections 3.2 and 7). */
export const DISK_SETTINGS: readonly ArgumentSpec[] = [
  { name: "type", type: "enum", values: DISK_TYPES },
  { name: "slot", type: "string" },
  { name: "parent", type: "string" },
  { name: "comment", type: "string" },
  { name: "disabled", type: "bool" },
  { name: "mount-point-template", type: "string", since: "7.17" },
  { name: "mount-filesystem", type: "bool", since: "7.17" },
  { name: "mount-read-only", type: "bool", since: "7.17" },
  { name: "compress", type: "bool", since: "7.18" },
  { name: "nvme-tcp-export", type: "bool" },
  { name: "nvme-tcp-server-port", type: "num", range: [1n, 65_535n] },
  { name: "nvme-tcp-server-nqn", type: "string", since: "7.21" },
  { name: "nvme-tcp-server-allow-host-name", type: "string" },
  { name: "nvme-tcp-server-password", type: "string" },
  { name: "iscsi-export", type: "bool" },
  { name: "iscsi-server-iqn", type: "string", since: "7.21" },
  { name: "iscsi-server-port", type: "num", range: [1n, 65_535n] },
  { name: "nfs-sharing", type: "bool" },
  { name: "smb-sharing", type: "bool" },
  { name: "media-sharing", type: "bool" },
  { name: "media-interface", type: "string" },
  { name: "swap", type: "bool", since: "7.17" },
  { name: "file-path", type: "string", since: "7.17" },
  { name: "file-size", type: "size", since: "7.17", range: [0n, MAX_SIZE] },
  { name: "file-offset", type: "size", since: "7.17", range: [0n, MAX_SIZE] },
];

/** In the order of their columns (manual, "Disks"); those of hardware that is not simulated are left out. */
const FLAGS: readonly FlagSpec[] = [
  { letter: "X", name: "disabled" },
  { letter: "B", name: "block-device" },
  { letter: "M", name: "mounted" },
  { letter: "S", name: "swap", property: true },
  { letter: "t", name: "nvme-tcp-export", property: true },
  { letter: "i", name: "iscsi-export", property: true },
  { letter: "s", name: "smb-sharing", property: true },
  { letter: "n", name: "nfs-sharing", property: true },
  { letter: "m", name: "media-sharing", property: true },
];

const READ_ONLY = [
  "slot-default",
  "fs-label",
  "fs-uuid",
  "fs",
  "model",
  "serial",
  "fw-version",
  "size",
  "free",
  "total-inodes",
  "free-inodes",
  "use",
  "mount-point",
  "sector-size",
  "interface",
  "interface-speed",
  "state",
  "raid-type",
  "raid-device-count",
  "raid-max-component-size",
  "raid-chunk-size",
  "raid-master",
  "raid-role",
  "raid-member-failed",
  "raid-member-state",
  "raid-uuid",
];

const PROPERTIES: readonly PropertySpec[] = [
  ...DISK_SETTINGS.filter((setting) => setting.name !== "disabled").map(({ name, since }) => ({
    name,
    ...(since === undefined ? {} : { since }),
  })),
  ...READ_ONLY.map((name) => ({ name })),
];

/** /disk as a list. */
export const DISKS: Listing = {
  properties: PROPERTIES,
  flags: FLAGS,
  columns: ["slot", "model", "size", "free", "fs"],
  names: ["slot"],
  sizes: "grouped",
  rows: (device) => device.diskRows(),
};

export const DISK_PROPERTIES = knownProperties(DISKS);
