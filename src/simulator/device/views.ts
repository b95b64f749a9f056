import type { Switches } from "../switches.ts";
import {
  boolSetting,
  type DiskItem,
  imagePath,
  isExported,
  nqnOf,
  portOf,
  slotOf,
  textSetting,
} from "./disk-item.ts";
import type { DiskStore } from "./disks.ts";
import { formatId } from "./environment.ts";
import type { Exports } from "./exports.ts";
import type { HostSessions } from "./hosts.ts";

/** A disk item as a test sees it. */
export interface DiskView {
  /** Item number, such as "*1F". */
  readonly id: string;
  readonly slot: string;
  /** "" when there is none. */
  readonly comment: string;
  /** Without leading slash. */
  readonly filePath: string;
  /** Bytes of the block device; undefined while there is none. */
  readonly size: bigint | undefined;
  /** Whether the block device is there. */
  readonly ready: boolean;
  readonly exported: boolean;
  readonly nqn: string;
  readonly port: number;
  /** As configured; "" means any host. */
  readonly allowHostName: string;
  /** Size that hosts see; undefined while the item is not exported. */
  readonly exportedSize: bigint | undefined;
  /** Host NQNs connected at present. */
  readonly connectedHosts: readonly string[];
  readonly disabled: boolean;
  readonly mountFilesystem: boolean;
}

/** The parts of a device that a view of a disk item is made from. */
export interface DiskContext {
  readonly diskStore: DiskStore;
  readonly exports: Exports;
  readonly hosts: HostSessions;
  switches(): Readonly<Switches>;
}

export function describeDisk(device: DiskContext, item: DiskItem): DiskView {
  const file = device.diskStore.device(item);
  const nqn = nqnOf(item, device.switches());
  return {
    id: formatId(item.id),
    slot: slotOf(item),
    comment: textSetting(item, "comment"),
    filePath: imagePath(item),
    size: file === undefined ? undefined : device.diskStore.deviceSize(item, file),
    ready: file !== undefined,
    exported: isExported(item),
    nqn,
    port: portOf(item),
    allowHostName: textSetting(item, "nvme-tcp-server-allow-host-name"),
    exportedSize: device.exports.live().find((record) => record.slot === slotOf(item))?.sizeBytes,
    connectedHosts: device.hosts.connected(nqn),
    disabled: boolSetting(item, "disabled"),
    mountFilesystem: boolSetting(item, "mount-filesystem"),
  };
}
