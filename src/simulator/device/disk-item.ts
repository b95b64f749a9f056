import type { Switches } from "../switches.ts";

/** A value that a user can set on a disk item. */
export type Setting = string | bigint | boolean;

/** A `type=file` disk item: its configuration, and the state that the device gave it. */
export interface DiskItem {
  readonly id: number;
  readonly config: Map<string, Setting>;
  /** When the block device appears, in milliseconds since the epoch. */
  readyAt: number;
  /** Size that hosts see: taken when the export begins; undefined while not exported. */
  exportedSize: bigint | undefined;
}

export function textSetting(item: DiskItem, name: string): string {
  const value = item.config.get(name);
  return typeof value === "string" ? value : "";
}

export function boolSetting(item: DiskItem, name: string): boolean {
  return item.config.get(name) === true;
}

export function slotOf(item: DiskItem): string {
  return textSetting(item, "slot");
}

/** Path of the image, without leading slash. */
export function imagePath(item: DiskItem): string {
  return textSetting(item, "file-path");
}

export function isExported(item: DiskItem): boolean {
  return boolSetting(item, "nvme-tcp-export");
}

export function portOf(item: DiskItem): number {
  const port = item.config.get("nvme-tcp-server-port");
  return typeof port === "bigint" ? Number(port) : 4420;
}

/** The NQN under which the item is exported. */
export function nqnOf(item: DiskItem, switches: Readonly<Switches>): string {
  const explicit = textSetting(item, "nvme-tcp-server-nqn");
  if (explicit !== "") return explicit;
  return switches.defaultNqn === "slot" ? slotOf(item) : `nqn.2000-02.com.mikrotik:${slotOf(item)}`;
}

/** The host NQNs that may connect; empty means any. */
export function allowedHosts(item: DiskItem, switches: Readonly<Switches>): readonly string[] {
  const text = textSetting(item, "nvme-tcp-server-allow-host-name");
  if (text === "" || switches.allowHostName === "ignored") return [];
  return switches.allowHostName === "exact" ? [text] : text.split(",").filter((name) => name !== "");
}
