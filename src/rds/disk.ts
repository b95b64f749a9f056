import type { Listing } from "../routeros/reply/form.ts";
import { flag, integer, type Row, text } from "../routeros/reply/row.ts";
import { ros, type Script } from "../routeros/script.ts";

/** The properties of a `/disk` item that the driver uses. Source: RouterOS CLI reference, "Disk". */
export interface Disk {
  readonly slot: string;
  readonly type: string;
  readonly comment: string;
  /** Path of the backing file without a leading slash; "" unless type=file. */
  readonly filePath: string;
  /** Exact bytes; undefined while the device is not ready. */
  readonly size: bigint | undefined;
  readonly free: bigint | undefined;
  readonly mounted: boolean;
  readonly mountPoint: string;
  readonly fs: string;
  /** Label of the filesystem on it. */
  readonly fsLabel: string;
  /** Of an array: md's state, e.g. `clean`; "" of other items. */
  readonly state: string;
  /** Slot of the array that the item is a member of; "" if it is none. */
  readonly raidMaster: string;
  /** The item is a member of an array that does without it. */
  readonly memberFailed: boolean;
  /** Whether RouterOS mounts filesystems that it finds on the disk. Must be off for our volumes. */
  readonly mountFilesystem: boolean;
  readonly exported: boolean;
  readonly nqn: string;
  readonly port: number | undefined;
  readonly allowHost: string;
}

/** The properties that the driver reads of a disk, by RouterOS name. */
export const ALL_PROPERTIES = [
  "slot",
  "type",
  "comment",
  "file-path",
  "size",
  "free",
  "mounted",
  "mount-point",
  "fs",
  "fs-label",
  "state",
  "raid-master",
  "raid-member-failed",
  "mount-filesystem",
  "nvme-tcp-export",
  "nvme-tcp-server-nqn",
  "nvme-tcp-server-port",
  "nvme-tcp-server-allow-host-name",
] as const;

export type DiskProperty = (typeof ALL_PROPERTIES)[number];

/** The properties of a file disk that is not mounted. */
export const FILE_PROPERTIES: readonly DiskProperty[] = ALL_PROPERTIES.filter(
  (name) =>
    ![
      ...["free", "mounted", "mount-point", "fs", "fs-label", "state"],
      ...["raid-master", "raid-member-failed"],
    ].includes(name),
);

/** The properties of a file disk that show how much of its pool it takes. */
export const SIZE_PROPERTIES: readonly DiskProperty[] = ["slot", "type", "file-path", "size"];

/** Lists the disks that meet a condition; undefined lists all. */
export function disks(
  where: Script | undefined,
  properties: readonly DiskProperty[] = ALL_PROPERTIES,
): Listing {
  return { label: "disks", menu: ros`/disk`, where, properties };
}

/** Reads a row of `/disk`. */
export function diskFromRow(row: Row): Disk {
  return {
    slot: text(row, "slot"),
    type: text(row, "type"),
    comment: text(row, "comment"),
    filePath: text(row, "file-path").replace(/^\/+/, ""),
    size: positive(integer(row, "size")),
    free: integer(row, "free"),
    mounted: flag(row, "mounted"),
    mountPoint: text(row, "mount-point").replace(/^\/+/, ""),
    fs: text(row, "fs"),
    fsLabel: text(row, "fs-label"),
    state: text(row, "state"),
    raidMaster: text(row, "raid-master").replace(/^none$/, ""),
    memberFailed: flag(row, "raid-member-failed"),
    mountFilesystem: flag(row, "mount-filesystem"),
    exported: flag(row, "nvme-tcp-export"),
    nqn: text(row, "nvme-tcp-server-nqn"),
    port: smallInteger(row, "nvme-tcp-server-port"),
    allowHost: text(row, "nvme-tcp-server-allow-host-name"),
  };
}

/** A disk that is not ready yet shows size 0 on some versions and none on others. */
function positive(value: bigint | undefined): bigint | undefined {
  return value === 0n ? undefined : value;
}

function smallInteger(row: Row, property: string): number | undefined {
  const value = integer(row, property);
  return value === undefined || value > 65_535n ? undefined : Number(value);
}
