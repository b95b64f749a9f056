import { Buffer } from "node:buffer";
import { randomUUID } from "node:crypto";
import type { Clock } from "../../domain/clock.ts";
import type { Backend, BackendEntry, ExportRecord } from "../backend/backend.ts";
import { SimulatorError } from "../errors.ts";
import type { Value } from "../language/values.ts";
import type { Switches } from "../switches.ts";
import { hasVersion } from "../version.ts";
import { type DiskItem, slotOf, textSetting } from "./disk-item.ts";
import { FileRow, poolRow } from "./disk-rows.ts";
import { DiskStore } from "./disks.ts";
import { type Environment, formatId } from "./environment.ts";
import { Exports } from "./exports.ts";
import { type FileEntry, FileStore } from "./files.ts";
import { HostSessions } from "./hosts.ts";
import { Management } from "./management.ts";
import { PageCache } from "./page-cache.ts";
import { canonicalPath } from "./paths.ts";
import { type Pool, type PoolOptions, usableBytes } from "./pools.ts";
import type { DeviceState } from "./state.ts";
import { type Subvolume, SubvolumeStore } from "./subvolumes.ts";
import { DeviceTime } from "./time.ts";
import { type DiskView, describeDisk } from "./views.ts";

/** The surroundings of a device. */
export type DeviceParts = Omit<Environment, "nextId" | "full">;

/** The state of the simulated RDS. Console commands change it, and tests may look and interfere. */
export class Device {
  readonly diskStore: DiskStore;
  readonly fileStore: FileStore;
  readonly subvolumeStore: SubvolumeStore;
  readonly hosts = new HostSessions();
  readonly exports: Exports;
  readonly backend: Backend;
  readonly switches: () => Readonly<Switches>;
  /** Name in /system/identity. */
  identity = "rds-simulator";
  /** When the device was started, for the uptime; milliseconds since the epoch. */
  bootedAt: number;
  /** Changes of state so far; tells whether a statement changed something. */
  mutations = 0;
  /** Whether allocations fail; set by the fault `diskFull`. */
  full = false;
  readonly management: Management;
  readonly clock: Clock;
  readonly pageCache: PageCache;
  readonly time: DeviceTime;
  readonly #pools: Pool[] = [];
  readonly #env: Environment;
  #nextId = 1;

  constructor(parts: DeviceParts) {
    this.clock = parts.clock;
    this.pageCache = new PageCache(parts.clock);
    this.backend = parts.backend;
    this.switches = parts.switches;
    this.time = new DeviceTime(parts.clock, parts.switches);
    this.bootedAt = parts.clock.now();
    const changed = () => {
      this.mutations += 1;
      parts.changed();
    };
    this.#env = { ...parts, changed, nextId: () => this.#nextId++, full: () => this.full };
    this.management = new Management(changed, () => parts.clock.now());
    this.fileStore = new FileStore(this.#env, this.#pools);
    const used = (path: string) => this.diskStore.using(path).length > 0;
    this.subvolumeStore = new SubvolumeStore(this.#env, this.#pools, this.fileStore, used);
    const readOnly = (path: string) => this.subvolumeStore.readOnly(path);
    this.diskStore = new DiskStore(this.#env, this.fileStore, this.hosts, readOnly);
    this.exports = new Exports(this.#env, this.diskStore, this.hosts);
  }

  /** RouterOS version as /system/resource prints it; set it with the switch `version`. */
  get version(): string {
    return this.switches().version;
  }

  /** Whether this version has the features of version `since`. */
  knows(since: string): boolean {
    return hasVersion(this.version, since);
  }

  get pools(): readonly Pool[] {
    return this.#pools;
  }

  /** The `type=file` items. */
  get disks(): readonly DiskView[] {
    return this.diskStore.items.map((item) => describeDisk(this, item));
  }

  /** The item with this slot. */
  disk(slot: string): DiskView | undefined {
    return this.disks.find((disk) => disk.slot === slot);
  }

  /** Files and directories on mounted pools, in the order of their paths. */
  get files(): readonly FileEntry[] {
    return this.fileStore.entries;
  }

  file(path: string): FileEntry | undefined {
    return this.fileStore.get(canonicalPath(path));
  }

  get subvolumes(): readonly Subvolume[] {
    return this.subvolumeStore.items;
  }

  /** The exports to which hosts can connect at this moment. */
  get liveExports(): readonly ExportRecord[] {
    return this.exports.live();
  }

  /** Free bytes of a pool. */
  freeBytes(slot: string): bigint {
    const pool = this.pool(slot);
    return this.full ? 0n : this.fileStore.free(pool);
  }

  /** Bytes of a pool that files can take in all. */
  usableBytes(slot: string): bigint {
    return usableBytes(this.pool(slot));
  }

  /** @throws SimulatorError when the pool does not exist */
  pool(slot: string): Pool {
    const found = this.#pools.find((pool) => pool.slot === slot);
    if (found === undefined) throw new SimulatorError(`the simulator has no pool ${JSON.stringify(slot)}`);
    return found;
  }

  /** The records of /disk in the order of their item numbers; absent properties are absent keys. */
  diskRows(): ReadonlyMap<string, Value>[] {
    const { diskStore, fileStore } = this;
    const switches = this.switches();
    const pools = this.#pools.map(
      (pool) =>
        [pool.id, poolRow(pool, this.freeBytes(pool.slot), fileStore.within(pool.slot).length)] as const,
    );
    const items = diskStore.items.map((item) => [item.id, new FileRow(item, diskStore, switches)] as const);
    return [...pools, ...items].sort(([a], [b]) => a - b).map(([, row]) => row);
  }

  /** The item, or the pool, with an item number such as "*1F". */
  diskById(id: string): DiskItem | Pool | undefined {
    return [...this.#pools, ...this.diskStore.items].find((one) => formatId(one.id) === id);
  }

  /** Makes a pool with an empty root directory, unless it is there from the saved state. */
  async openPool(options: PoolOptions): Promise<void> {
    await this.backend.openPool(canonicalPath(options.slot));
    if (this.#pools.some((pool) => pool.slot === options.slot)) return;
    const { slot, fs, size } = options;
    this.#pools.push({
      id: this.#nextId++,
      slot,
      fs,
      size,
      label: options.label ?? `${slot}-fs`,
      uuid: randomUUID(),
      mounted: options.mounted ?? true,
      state: "clean",
      comment: undefined,
    });
    const root = { path: slot, directory: true, size: 0n, charged: 0n, modified: this.clock.now() };
    this.fileStore.restore({ id: this.#nextId++, ...root });
    this.#env.changed();
  }

  /** Mounts or unmounts a pool, or changes its state text, as an event on the device. */
  async setPool(slot: string, change: { mounted?: boolean; state?: string }): Promise<void> {
    const pool = this.pool(slot);
    pool.mounted = change.mounted ?? pool.mounted;
    pool.state = change.state ?? pool.state;
    this.#env.changed();
    await this.exports.reconcile();
  }

  /**
   * Makes a `type=file` item as an administrator makes it by hand, with its file.
   * @param options slot; path below a pool (directories are made); size in bytes; further settings by argument name
   */
  async addForeignDisk(options: {
    slot: string;
    path: string;
    size: bigint;
    comment?: string;
    settings?: Readonly<Record<string, string | bigint | boolean>>;
  }): Promise<DiskView> {
    const path = canonicalPath(options.path);
    await this.makeDirectories(path.slice(0, path.lastIndexOf("/")));
    const settings = new Map<string, string | bigint | boolean>([
      ["type", "file"],
      ["slot", options.slot],
      ["file-path", path],
      ["file-size", options.size],
      ["mount-filesystem", false],
      ...Object.entries(options.settings ?? {}),
    ]);
    if (options.comment !== undefined) settings.set("comment", options.comment);
    const item = await this.diskStore.add(settings);
    item.readyAt = 0;
    await this.exports.reconcile();
    return describeDisk(this, item);
  }

  /** Makes a directory and those above it. */
  makeDirectories(path: string): Promise<void> {
    return this.fileStore.makeDirectories(canonicalPath(path));
  }

  /** Makes a file that no disk uses, such as one that an interrupted create left. */
  async addFile(path: string, size: bigint): Promise<FileEntry> {
    return this.fileStore.createFile(canonicalPath(path), size);
  }

  /** Removes an item behind the driver's back; its file stays. */
  async removeDisk(slot: string): Promise<void> {
    this.diskStore.remove(this.#item(slot));
    await this.exports.reconcile();
  }

  /** Changes settings of an item behind the driver's back, by argument name. */
  async setDisk(slot: string, settings: Readonly<Record<string, string | bigint | boolean>>): Promise<void> {
    await this.diskStore.set(this.#item(slot), new Map(Object.entries(settings)), new Set());
    await this.exports.reconcile();
  }

  #item(slot: string): DiskItem {
    const item = this.diskStore.items.find((one) => slotOf(one) === slot);
    if (item === undefined) throw new SimulatorError(`the simulator has no disk ${JSON.stringify(slot)}`);
    return item;
  }

  /** Bytes of a file. */
  readFile(path: string, offset: bigint, length: number): Promise<Uint8Array> {
    return this.backend.read(canonicalPath(path), offset, length);
  }

  async writeFile(path: string, offset: bigint, data: Uint8Array | string): Promise<void> {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    this.subvolumeStore.refuseReadOnly(canonicalPath(path));
    await this.backend.write(canonicalPath(path), offset, bytes);
  }

  /**
   * A host connects to a subsystem, as `nvme connect` would.
   * @returns false when the subsystem is not exported or does not let the host in
   */
  connectHost(nqn: string, hostNqn: string, password = ""): boolean {
    const record = this.liveExports.find((one) => one.nqn === nqn);
    if (record === undefined) return false;
    if (record.allowHosts.length > 0 && !record.allowHosts.includes(hostNqn)) return false;
    const item = this.diskStore.bySlot(record.slot);
    const secret = item === undefined ? "" : textSetting(item, "nvme-tcp-server-password");
    if (this.switches().hostPassword === "enforced" && secret !== password) return false;
    this.hosts.connect(nqn, hostNqn);
    return true;
  }

  disconnectHost(nqn: string, hostNqn: string): void {
    this.hosts.disconnect(nqn, hostNqn);
  }

  /** Drops what the backend lacks, takes in the files that it has besides, and removes subvolumes that a crash left unfinished. */
  async reconcile(found: readonly BackendEntry[]): Promise<void> {
    this.fileStore.reconcile(found);
    await this.subvolumeStore.reconcile();
  }

  save(): DeviceState {
    return {
      nextId: this.#nextId,
      identity: this.identity,
      pools: this.#pools,
      files: this.fileStore.stored,
      disks: this.diskStore.items,
      subvolumes: this.subvolumeStore.stored,
      management: this.management.save(),
    };
  }

  /** Takes over a saved state; the device must be new. */
  restore(state: DeviceState): void {
    this.#nextId = state.nextId;
    this.identity = state.identity;
    this.#pools.push(...state.pools);
    for (const entry of state.files) this.fileStore.restore(entry);
    for (const item of state.disks) this.diskStore.restore({ ...item, exportedSize: undefined });
    for (const item of state.subvolumes) this.subvolumeStore.restore(item);
    if (state.management !== undefined) this.management.restore(state.management);
  }
}
