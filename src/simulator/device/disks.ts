import { RunFailure } from "../errors.ts";
import { hasVersion } from "../version.ts";
import {
  type DiskItem,
  imagePath,
  isExported,
  nqnOf,
  type Setting,
  slotOf,
  textSetting,
} from "./disk-item.ts";
import type { Environment } from "./environment.ts";
import type { FileEntry, FileStore } from "./files.ts";
import type { HostSessions } from "./hosts.ts";
import { canonicalPath, parentPath } from "./paths.ts";

const MISSING_PARENT = "failure: cannot open output file";

/** The `type=file` items of /disk (facts sections 3.2 to 3.5 and the table of 9.3). */
export class DiskStore {
  readonly #env: Environment;
  readonly #files: FileStore;
  readonly #hosts: HostSessions;
  /** Whether a path lies in a read-only snapshot. */
  readonly #readOnly: (path: string) => boolean;
  readonly #items: DiskItem[] = [];
  /** Items that a copy reads or writes. */
  readonly copying = new Set<DiskItem>();
  readonly #ended = new WeakMap<DiskItem, number>();
  /** Exports that went off in a line that still runs, with their NQN: hosts have not missed them yet (switch re-export). */
  readonly #ending = new Map<DiskItem, string>();

  constructor(env: Environment, files: FileStore, hosts: HostSessions, readOnly: (path: string) => boolean) {
    this.#env = env;
    this.#files = files;
    this.#hosts = hosts;
    this.#readOnly = readOnly;
  }

  get items(): readonly DiskItem[] {
    return this.#items;
  }

  restore(item: DiskItem): void {
    this.#items.push(item);
  }

  bySlot(slot: string): DiskItem | undefined {
    return this.#items.find((item) => slotOf(item) === slot);
  }

  /** How often an export of this item was ended by a command. */
  exportsEnded(item: DiskItem): number {
    return this.#ended.get(item) ?? 0;
  }

  /** Items whose image is `path`. */
  using(path: string): readonly DiskItem[] {
    return this.#items.filter((item) => imagePath(item) === path);
  }

  /** The image while the item has a block device; undefined when it is disabled, not ready, or its file is away or in a read-only snapshot. */
  device(item: DiskItem): FileEntry | undefined {
    if (item.config.get("disabled") === true || this.#env.clock.now() < item.readyAt) return undefined;
    const file = this.#files.get(imagePath(item));
    return file?.directory === false && !this.#readOnly(file.path) ? file : undefined;
  }

  /** Size of the block device: the file behind its offset. */
  deviceSize(item: DiskItem, file: FileEntry): bigint {
    const offset = item.config.get("file-offset");
    const size = file.size - (typeof offset === "bigint" ? offset : 0n);
    return size > 0n ? size : 0n;
  }

  /** `/disk/add` with settings that the schema has checked. @returns the new item */
  async add(settings: ReadonlyMap<string, Setting>): Promise<DiskItem> {
    const switches = this.#env.switches();
    const config = new Map(settings);
    if (config.get("type") !== "file") throw new RunFailure("failure: only type=file is simulated");
    const given = config.get("file-path");
    if (typeof given !== "string" || given === "") {
      throw new RunFailure("missing value(s) of argument(s) file-path");
    }
    const path = canonicalPath(given);
    config.set("file-path", path);
    config.set("slot", this.#checkedSlot(String(config.get("slot") ?? `file-${path.replaceAll("/", "-")}`)));
    if (!config.has("mount-filesystem")) config.set("mount-filesystem", true);
    this.#checkNqn(config, undefined);
    const mounted = this.#files.poolOf(path)?.mounted === true;
    if (mounted) await this.#prepareImage(config, path);
    else if (switches.poolUnmounted === "error") throw new RunFailure(MISSING_PARENT);
    return this.#insert(config);
  }

  #insert(config: Map<string, Setting>): DiskItem {
    const readyAt = this.#env.clock.now() + this.#env.switches().readyDelayMs;
    const item: DiskItem = { id: this.#env.nextId(), config, readyAt, exportedSize: undefined };
    this.#items.push(item);
    this.#env.changed();
    return item;
  }

  #checkedSlot(slot: string, self?: DiskItem): string {
    const { slotMaximum, slotTooLong, duplicateSlotText, version } = this.#env.switches();
    if (slot === "") throw new RunFailure("failure: bad name");
    let checked = slot;
    // Slots of 40 characters worked until early 2026; 7.24 takes 32 (facts section 0).
    const how =
      slotTooLong === "by-version" ? (hasVersion(version, "7.24") ? "error" : "accept") : slotTooLong;
    if (slot.length > slotMaximum && how === "error") throw new RunFailure("failure: bad name");
    if (slot.length > slotMaximum && how === "truncate") checked = slot.slice(0, slotMaximum);
    const other = this.bySlot(checked);
    if ((other !== undefined && other !== self) || this.#reserved(checked))
      throw new RunFailure(duplicateSlotText);
    return checked;
  }

  /** Slots that a pool or the hardware has. */
  #reserved(slot: string): boolean {
    return this.#files.isDirectory(slot) || /^(nvme|sata|usb)\d+$/.test(slot);
  }

  #checkNqn(config: ReadonlyMap<string, Setting>, self: DiskItem | undefined): void {
    const nqn = config.get("nvme-tcp-server-nqn");
    if (typeof nqn !== "string" || nqn === "") return;
    if (nqn.length > 223) throw new RunFailure("invalid value for argument nvme-tcp-server-nqn");
    if (this.#env.switches().duplicateNqn === "allowed") return;
    const taken = this.#items.some(
      (item) => item !== self && textSetting(item, "nvme-tcp-server-nqn") === nqn,
    );
    if (taken) throw new RunFailure("failure: already have such nvme-tcp-server-nqn");
  }

  /** Makes or takes over the image file of a new item. */
  async #prepareImage(config: Map<string, Setting>, path: string): Promise<void> {
    const switches = this.#env.switches();
    const wanted = config.get("file-size");
    const size = typeof wanted === "bigint" ? wanted : undefined;
    if (config.get("compress") === true && this.#files.poolOf(path)?.fs !== "btrfs") {
      throw new RunFailure("compression only available for btrfs");
    }
    if (this.using(path).length > 0 && switches.sharedFile === "error") {
      throw new RunFailure("failure: file is in use by another disk");
    }
    if (this.#readOnly(path)) throw new RunFailure("failure: read-only file system");
    const existing = this.#files.get(path);
    if (existing !== undefined) {
      if (existing.directory || switches.existingFile === "error")
        throw new RunFailure("failure: file exists");
      const grow = switches.existingFile === "grow" && size !== undefined && size > existing.size;
      if (grow) await this.#files.resize(existing, size);
      config.set("file-size", existing.size);
      return;
    }
    await this.#requireParent(parentPath(path));
    if (size === undefined) throw new RunFailure("missing value(s) of argument(s) file-size");
    if (size <= 0n) throw new RunFailure("value of file-size out of range (1..9223372036854775807)");
    if (!this.#files.fits(path, size)) {
      if (switches.noSpace === "file-left") {
        await this.#env.backend.create(path, 0n);
        this.#files.adopt(path, 0n, 0n);
      }
      if (switches.noSpace === "item-left") this.#insert(config);
      throw new RunFailure(switches.noSpaceText);
    }
    await this.#files.createFile(path, size);
  }

  async #requireParent(parent: string): Promise<void> {
    if (this.#files.isDirectory(parent)) return;
    const exists = this.#files.get(parent) !== undefined;
    if (exists || this.#env.switches().parentMissing === "error") throw new RunFailure(MISSING_PARENT);
    await this.#requireParent(parentPath(parent));
    await this.#files.createDirectory(parent);
  }

  /** `/disk/set` of one item. */
  async set(
    item: DiskItem,
    settings: ReadonlyMap<string, Setting>,
    unset: ReadonlySet<string>,
  ): Promise<void> {
    const switches = this.#env.switches();
    const next = new Map([...item.config, ...settings]);
    for (const name of unset) next.delete(name);
    for (const name of ["type", "file-path", "file-offset"]) {
      if (settings.has(name) && settings.get(name) !== item.config.get(name)) {
        throw new RunFailure(`failure: can not change ${name}`);
      }
    }
    const slot = settings.get("slot");
    if (typeof slot === "string") next.set("slot", this.#checkedSlot(slot, item));
    this.#checkNqn(next, item);
    const file = this.#files.get(imagePath(item));
    const wanted = settings.get("file-size");
    const size =
      typeof wanted === "bigint" && file !== undefined && wanted !== file.size ? wanted : undefined;
    if (file !== undefined && size !== undefined) {
      if (this.#readOnly(file.path)) throw new RunFailure("failure: read-only file system");
      if (size < file.size && switches.shrink === "error") {
        throw new RunFailure("invalid value of file-size, must not be smaller than the file");
      }
      const grows = size > file.size;
      if (grows && !this.#files.growable(file, size)) throw new RunFailure(switches.noSpaceText);
    }
    const draft: DiskItem = { ...item, config: next };
    const wasExported = isExported(item) && item.config.get("disabled") !== true;
    const staysExported = isExported(draft) && next.get("disabled") !== true;
    const moved = nqnOf(item, switches) !== nqnOf(draft, switches);
    const ends = moved && switches.renamedExport === "dropped";
    if (wasExported && (!staysExported || ends)) this.#endExport(item);
    if (file !== undefined && size !== undefined) await this.#files.resize(file, size);
    item.config.clear();
    for (const [name, value] of next) item.config.set(name, value);
    this.#env.changed();
  }

  /** Ends the export of an item, which drops the hosts or is refused, by switch. */
  #endExport(item: DiskItem): void {
    const nqn = nqnOf(item, this.#env.switches());
    const connected = this.#hosts.connected(nqn).length > 0;
    if (connected && this.#env.switches().connectedHosts === "busy") {
      throw new RunFailure("failure: could not unmount, stop using it first");
    }
    if (this.#env.switches().reExport === "coalesced") {
      if (!this.#ending.has(item)) this.#ending.set(item, nqn);
    } else this.#hostsMiss(item, nqn);
  }

  #hostsMiss(item: DiskItem, nqn: string): void {
    this.#hosts.drop(nqn);
    this.#ended.set(item, this.exportsEnded(item) + 1);
    item.exportedSize = undefined;
  }

  /** Whether an export of this item is off, or was, without its hosts knowing. */
  isEnding(item: DiskItem): boolean {
    return this.#ending.has(item);
  }

  /** A line ends or waits: hosts miss the exports that are off now. One that is on again never ended for them, but may have a new NQN. */
  settleExports(): void {
    const switches = this.#env.switches();
    for (const [item, nqn] of this.#ending) {
      const isOn = this.#items.includes(item) && isExported(item) && item.config.get("disabled") !== true;
      const isRenamed = nqnOf(item, switches) !== nqn;
      if (!isOn || (isRenamed && switches.renamedExport === "dropped")) this.#hostsMiss(item, nqn);
    }
    this.#ending.clear();
  }

  /** `/disk/remove` of one item; its file stays. */
  remove(item: DiskItem): void {
    if (this.copying.has(item) && this.#env.switches().copyInUse === "busy")
      throw new RunFailure("failure: could not unmount, stop using it first");
    if (isExported(item)) this.#endExport(item);
    this.#items.splice(this.#items.indexOf(item), 1);
    this.#env.changed();
  }
}
