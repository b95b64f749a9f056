import { id } from "../language/scalars.ts";
import type { Value } from "../language/values.ts";
import type { Switches } from "../switches.ts";
import { hasVersion } from "../version.ts";
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
import { type Pool, usableBytes } from "./pools.ts";

/** Bytes that one inode stands for in the inode counts of a pool. */
const BYTES_PER_INODE = 10_240n;

/** The RAID's own identifier: as stable as that of its file system, and another one. */
function raidUuid({ uuid }: Pool): string {
  const digits = [...uuid.replaceAll("-", "")].toReversed();
  return uuid.replace(/[^-]/g, () => digits.shift() ?? "0");
}

/**
 * The record of a pool: a RAID with a file system (facts section 3.1). Flags that are not set are absent.
 * @param free bytes
 * @param files number of files and directories on it
 */
export function poolRow(pool: Pool, free: bigint, files: number): Map<string, Value> {
  const usable = usableBytes(pool);
  const inodes = pool.size / BYTES_PER_INODE;
  const row = new Map<string, Value>([[".id", id(formatId(pool.id))]]);
  if (pool.comment !== undefined) row.set("comment", pool.comment);
  row.set("block-device", true);
  if (pool.mounted) row.set("mounted", true);
  row.set("type", "raid").set("slot", pool.slot).set("slot-default", "").set("parent", "");
  row.set("fs-label", pool.label).set("fs-uuid", pool.uuid).set("fs", pool.fs);
  row.set("model", "RAID6 8-disk").set("size", pool.size);
  if (pool.mounted) {
    row.set("free", free);
    row.set("total-inodes", inodes).set("free-inodes", inodes - BigInt(files) - 3n);
    row.set("use", `${usable === 0n ? 0n : (100n * (pool.size - free)) / pool.size}%`);
    row.set("mount-point", pool.slot);
  }
  row.set("mount-filesystem", true).set("mount-read-only", false).set("compress", false);
  row.set("sector-size", 512n).set("raid-type", "6").set("raid-device-count", 8n);
  row.set("raid-max-component-size", "none").set("raid-chunk-size", "256K").set("raid-master", "none");
  row.set("state", pool.state).set("raid-uuid", raidUuid(pool));
  row.set("nvme-tcp-export", false).set("iscsi-export", false).set("nfs-sharing", false);
  row.set("smb-sharing", false).set("media-sharing", false).set("media-interface", "none").set("swap", false);
  return row;
}

/**
 * The record of a `type=file` item, made in full when a command needs more than its number, slot and comment: most commands look
 * for one item among thousands.
 */
export class FileRow implements ReadonlyMap<string, Value> {
  readonly #item: DiskItem;
  readonly #make: () => Map<string, Value>;
  #made: Map<string, Value> | undefined;

  constructor(item: DiskItem, disks: DiskStore, switches: Readonly<Switches>) {
    this.#item = item;
    this.#make = () => fileRow(item, disks, switches);
  }

  get #row(): Map<string, Value> {
    this.#made ??= this.#make();
    return this.#made;
  }

  get(name: string): Value | undefined {
    if (name === ".id") return id(formatId(this.#item.id));
    if (name === "slot") return slotOf(this.#item);
    if (name === "comment") return textSetting(this.#item, "comment") || undefined;
    return this.#row.get(name);
  }

  has(name: string): boolean {
    if (name === "nvme-tcp-server-password" && textSetting(this.#item, name) === "") return false;
    return this.#row.has(name);
  }

  get size(): number {
    return this.#row.size;
  }

  forEach(visit: (value: Value, name: string, row: ReadonlyMap<string, Value>) => void): void {
    for (const [name, value] of this.#row) visit(value, name, this);
  }

  entries = () => this.#row.entries();
  keys = () => this.#row.keys();
  values = () => this.#row.values();
  [Symbol.iterator] = () => this.#row.entries();
}

/** The record of a `type=file` item. Without its block device it has neither that flag nor `size`. */
function fileRow(item: DiskItem, disks: DiskStore, switches: Readonly<Switches>): Map<string, Value> {
  const file = disks.device(item);
  const path = `${switches.filePathSlash === "with" ? "/" : ""}${imagePath(item)}`;
  const row = new Map<string, Value>([[".id", id(formatId(item.id))]]);
  const comment = textSetting(item, "comment");
  if (comment !== "") row.set("comment", comment);
  if (boolSetting(item, "disabled")) row.set("disabled", true);
  if (file !== undefined) row.set("block-device", true);
  row.set("type", "file").set("slot", slotOf(item)).set("slot-default", "").set("parent", "");
  row.set("fs", "-").set("model", `/${imagePath(item)}`);
  if (file !== undefined) row.set("size", disks.deviceSize(item, file));
  for (const name of ["mount-filesystem", "mount-read-only", "compress"])
    row.set(name, boolSetting(item, name));
  if (file !== undefined) row.set("sector-size", 512n);
  row.set("raid-master", "none").set("nvme-tcp-export", isExported(item));
  if (isExported(item) || item.config.has("nvme-tcp-server-nqn") || item.config.has("nvme-tcp-server-port")) {
    row.set("nvme-tcp-server-port", BigInt(portOf(item)));
    if (hasVersion(switches.version, "7.21")) row.set("nvme-tcp-server-nqn", nqnOf(item, switches));
    row.set("nvme-tcp-server-allow-host-name", textSetting(item, "nvme-tcp-server-allow-host-name"));
    const password = textSetting(item, "nvme-tcp-server-password");
    if (password !== "") row.set("nvme-tcp-server-password", password);
  }
  for (const name of ["iscsi-export", "nfs-sharing", "smb-sharing", "media-sharing"]) {
    row.set(name, boolSetting(item, name));
  }
  row.set("media-interface", "none").set("swap", boolSetting(item, "swap")).set("file-path", path);
  const size = item.config.get("file-size");
  if (size !== undefined) row.set("file-size", size);
  row.set("file-offset", item.config.get("file-offset") ?? 0n);
  return row;
}
