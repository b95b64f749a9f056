import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { SharedWork } from "../domain/shared-work.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Purpose } from "../routeros/transport/transport.ts";
import { VolumeCache, type VolumeObserver } from "./cache.ts";
import { type RdsContext, sharedReads } from "./context.ts";
import { ConversionStore } from "./convert.ts";
import { CopyStore } from "./copy-store.ts";
import { type CreateSpec, createVolume } from "./create.ts";
import type { Disk } from "./disk.ts";
import { EarlierStore } from "./earlier.ts";
import { type ExportSettings, exportIsRight } from "./export.ts";
import { type GrowSpec, growVolume } from "./grow.ts";
import { type Inspected, inspectAll, inspectVolume } from "./inspected.ts";
import { InventoryStore } from "./inventory.ts";
import type { Layout } from "./layout.ts";
import { findLeftover } from "./leftover.ts";
import { classifiedAmong, findClassified, hasVolumes, listAll, listForRemoval } from "./lookup.ts";
import { type EntryOf, type PageRead, readPage, type VolumePage } from "./page.ts";
import { type Place, pathsOnPools, placeOn, requirePlace } from "./place.ts";
import { PendingVolumes, type Pool, type PoolView } from "./pool.ts";
import { type RemoveResult, removeFile, removeVolume } from "./remove.ts";
import { SnapshotStore } from "./snapshots.ts";
import { PoolSpace } from "./space.ts";
import { findStray, type RdsFile, type Survey, surveyAll } from "./survey.ts";
import { DeviceVersion, type RouterOsVersion } from "./version.ts";
import type { Classified, ForeignDisk, RdsVolume } from "./volume.ts";
import { readLane, type WritePurpose, type WriteResult, writeRecord } from "./write-record.ts";

/** Disks with a slot of ours. Callers share it. */
export type Listed = { readonly volumes: readonly RdsVolume[]; readonly foreign: readonly ForeignDisk[] };

/**
 * Volumes on one RDS. Each method says how many RouterOS commands it costs; the first call on a new
 * connection costs one more, for the version check. All methods throw the link's failures
 * (rdsUnreachable, rdsOutcomeUnknown, hostKeyMismatch, …): an unknown state is never reported as absent.
 */
export class Rds {
  readonly #context: RdsContext;
  readonly #cache = new VolumeCache();
  /** Where this process created, or began to remove, the files of volumes: a file that is left there is theirs. */
  readonly #places = new RecentMap<VolumeId, Place>(4_096);
  /** Volumes that are being created or grown, with the size that they will have. */
  readonly #pending = new PendingVolumes();
  readonly #space: PoolSpace;
  /** Each takes the memory of one list. */
  readonly #lists: SharedWork;
  readonly #pages: SharedWork;
  readonly #version: DeviceVersion;
  readonly snapshots: SnapshotStore;
  readonly copies: CopyStore;
  readonly conversions: ConversionStore;
  readonly inventory: InventoryStore;
  readonly earlier: EarlierStore;
  constructor(context: RdsContext) {
    this.#context = context;
    this.#space = new PoolSpace(context);
    this.#version = new DeviceVersion(context);
    this.#lists = sharedReads(context, 1);
    this.#pages = sharedReads(context, 1);
    this.snapshots = new SnapshotStore(context, (signal) => this.version(signal));
    this.conversions = new ConversionStore(context, (signal) => this.version(signal), this.#space);
    this.inventory = new InventoryStore(context, (signal) => this.version(signal));
    this.earlier = new EarlierStore(context, (signal) => this.version(signal));
    this.copies = new CopyStore(context, (signal) => this.version(signal), this.#cache);
  }

  get address(): string {
    return this.#context.client.address;
  }

  /** The settings that name exports, and the cluster id. */
  get installation(): ExportSettings & Pick<RdsContext, "clusterId"> {
    return this.#context;
  }

  /** Calls the observer for each volume that this process reads or writes from now on. One observer. */
  observe(observer: VolumeObserver): void {
    this.#cache.observe(observer);
  }

  /** Makes the next call check the RouterOS version again; for a new connection, maybe to an upgraded device. */
  forgetVersion(): void {
    this.#version.forget();
    this.#space.reset();
  }

  /** The device's version, asked once per connection, and by calls of two lanes at once twice. @throws versionTooOld (FAILED_PRECONDITION), clusterIdUnknown (UNAVAILABLE) */
  async version(signal: AbortSignal, lane: Purpose = "read"): Promise<RouterOsVersion> {
    await this.#context.ready?.(signal);
    return this.#version.get(signal, lane);
  }

  /** The volume as last read by this process; may be stale, so only a compare-and-set may be based on it. */
  remembered(id: VolumeId): RdsVolume | undefined {
    return this.#cache.get(id);
  }

  /** Reads one volume. undefined means proven absent. One command. @param purpose of the write that follows: it decides the lane */
  async find(
    id: VolumeId,
    signal: AbortSignal,
    purpose: WritePurpose = "change",
  ): Promise<Classified | undefined> {
    const lane = readLane(purpose);
    await this.version(signal, lane);
    const generation = this.#cache.generation(id);
    const found = await findClassified(this.#context, id, signal, lane);
    return this.#cache.remember(id, found, generation);
  }

  /** Every disk with a slot of ours. One command, or several when there are many. Callers who wait share a list, and one is read at a time. */
  async list(signal: AbortSignal): Promise<Listed> {
    await this.version(signal);
    return this.#lists.run("all", signal, async (shared) => {
      const mark = this.#cache.mark();
      const found = await listAll(this.#context, shared);
      this.#cache.putListed(found.volumes, mark);
      return found;
    });
  }

  /**
   * One page of the volumes, in slot order. Two commands, and one for each few hundred volumes (`readPage`). Callers who wait for the same
   * page share it, and one is read at a time.
   * @param entry makes an entry of a volume; the same for each call
   */
  async page<T>(read: PageRead, entry: EntryOf<T>): Promise<VolumePage<T>> {
    await this.version(read.signal);
    return this.#pages.run(`${read.after} ${read.most}`, read.signal, (signal) =>
      readPage(this.#context, { ...read, signal }, entry),
    );
  }

  /** Whether a node has at least `limit` volumes. One command, and more when it has. */
  async hasVolumes(node: string, limit: number, signal: AbortSignal): Promise<boolean> {
    await this.version(signal, "attach");
    return hasVolumes(this.#context, node, limit, signal);
  }

  /** Every disk with a slot of ours, and every mounted disk. One command, or several when there are many. */
  async survey(signal: AbortSignal): Promise<Survey> {
    await this.version(signal);
    return surveyAll(this.#context, signal);
  }

  /** Volumes, pools and files of volumes: of one volume, or of all. Two commands, or several when there are many volumes. */
  async inspect(id: VolumeId | undefined, signal: AbortSignal): Promise<Inspected> {
    await this.version(signal);
    return id === undefined ? inspectAll(this.#context, signal) : inspectVolume(this.#context, id, signal);
  }

  /** The file at a path. undefined means proven absent. One command. */
  async file(path: string, signal: AbortSignal): Promise<RdsFile | undefined> {
    await this.version(signal);
    return findStray(this.#context, [path], signal);
  }

  /** The file that a volume without a disk item has in the folder of the volumes on a mounted pool. One command. @param mounted items of `/disk` */
  async strayFile(
    id: VolumeId,
    directory: string,
    mounted: readonly Disk[],
    signal: AbortSignal,
  ): Promise<RdsFile | undefined> {
    await this.version(signal);
    return findStray(this.#context, pathsOnPools(mounted, id, directory), signal);
  }

  /** A pool, and the disk that has the slot `id` already. One command (`PoolSpace`). @throws poolNotFound, poolNotMounted */
  async readPool(slot: string, reserveBytes: bigint, signal: AbortSignal, id?: VolumeId): Promise<PoolView> {
    await this.version(signal);
    const read = { id, asked: () => this.#pending.look(), reserve: reserveBytes, signal };
    const { listed, pool } = await this.#space.ofPool(slot, read);
    const existing = id === undefined ? undefined : classifiedAmong(this.#context, id, listed);
    return { pool, available: this.#pending.availableIn(pool), existing };
  }

  /**
   * Creates a volume in a pool that `readPool` returned. One command, and more while the device is not ready.
   * @throws poolFull, poolRefused (RESOURCE_EXHAUSTED) when nothing was created
   */
  async create(spec: CreateSpec): Promise<Classified> {
    const { id, layout, sizeBytes, signal } = spec;
    const pool = await this.#withRoom(spec.pool, sizeBytes, signal);
    return this.#pending.hold({ id, pool, sizeBytes, more: sizeBytes }, async () => {
      const generation = this.#cache.forget(id);
      this.#places.set(id, placeOn(pool, layout, id, spec.form));
      return this.#cache.remember(id, await createVolume(this.#context, { ...spec, pool }), generation);
    });
  }

  /** The pool, read once more if it seems full for want of knowledge about volumes that were begun after it was read. */
  async #withRoom(pool: Pool, more: bigint, signal: AbortSignal): Promise<Pool> {
    if (more <= this.#pending.availableIn(pool) || !this.#pending.isUnsureIn(pool)) return pool;
    return (await this.readPool(pool.slot, pool.reserve, signal)).pool;
  }

  /**
   * One volume, and its pool. The volume is undefined if it is proven absent, the pool while it is not mounted. One command
   * (`PoolSpace`).
   */
  async findWithPool(
    id: VolumeId,
    reserveBytes: bigint,
    signal: AbortSignal,
  ): Promise<{ readonly found: Classified | undefined; readonly pool: Pool | undefined }> {
    await this.version(signal);
    const generation = this.#cache.generation(id);
    const read = { id, asked: () => this.#pending.look(), reserve: reserveBytes, signal };
    const { listed, pool } = await this.#space.ofVolume(id, this.remembered(id)?.disk.filePath, read);
    return { found: this.#cache.remember(id, classifiedAmong(this.#context, id, listed), generation), pool };
  }

  /**
   * Grows a volume that `findWithPool` returned; never shrinks it. One command, and more until the size shows.
   * @throws poolFull, poolRefused (RESOURCE_EXHAUSTED), expansionNeedsDetach (FAILED_PRECONDITION), notVerified (UNAVAILABLE)
   */
  async grow(spec: GrowSpec): Promise<WriteResult> {
    const { volume, sizeBytes } = spec;
    const more = sizeBytes - (volume.disk.size ?? 0n);
    const pool = await this.#withRoom(spec.pool, more, spec.signal);
    return this.#pending.hold({ id: volume.id, pool, sizeBytes, more }, async () => {
      const generation = this.#cache.forget(volume.id);
      const result = await growVolume(this.#context, spec);
      if (result.kind === "written") this.#cache.put(result.volume, generation);
      return result;
    });
  }

  /** One volume, undefined if it is proven absent, and every mounted item of `/disk`. One command. */
  async forRemoval(
    id: VolumeId,
    signal: AbortSignal,
  ): Promise<{ readonly found: Classified | undefined; readonly mounted: readonly Disk[] }> {
    await this.version(signal);
    const generation = this.#cache.generation(id);
    const listed = await listForRemoval(this.#context, id, signal);
    const found = classifiedAmong(this.#context, id, listed);
    const mounted = listed.filter((disk) => disk.mounted);
    return { found: this.#cache.remember(id, found, generation), mounted };
  }

  /** Removes a volume that `forRemoval` returned: export, item and file. One command. @throws filePoolNotMounted (UNAVAILABLE): nothing is removed then */
  async remove(
    volume: RdsVolume,
    { directory }: Layout,
    mounted: readonly Disk[],
    signal: AbortSignal,
  ): Promise<RemoveResult> {
    await this.version(signal);
    const place = requirePlace(mounted, volume, directory);
    this.#places.set(volume.id, place);
    this.#cache.forget(volume.id);
    return removeVolume(this.#context, volume, place, signal);
  }

  /**
   * Removes the file of a volume that `forRemoval` did not find: where this process made or removed it, else where `findLeftover` finds it. One
   * command; two when a file is found. @throws filePoolNotMounted (UNAVAILABLE), fileNotProven (FAILED_PRECONDITION)
   */
  async removeFileOnly(
    id: VolumeId,
    layout: Layout,
    mounted: readonly Disk[],
    signal: AbortSignal,
  ): Promise<RemoveResult> {
    await this.version(signal);
    const place = this.#places.get(id) ?? (await findLeftover(this.#context, id, layout, mounted, signal));
    if (place === undefined || place === "changed") return place ?? "removed";
    return removeFile(this.#context, id, place, signal);
  }

  /** Compare-and-set of record and export. One command; two for an attachment; more while the export is not up. */
  async write(
    volume: RdsVolume,
    record: VolumeRecord,
    exportState: Parameters<typeof writeRecord>[3],
    signal: AbortSignal,
    purpose: WritePurpose = "attach",
  ): Promise<WriteResult> {
    await this.version(signal, readLane(purpose));
    const generation = this.#cache.forget(volume.id);
    const claimed = (half: RdsVolume) => this.#cache.put(half, generation);
    const result = await writeRecord(this.#context, volume, record, exportState, signal, claimed, purpose);
    if (result.kind === "written") this.#cache.put(result.volume, generation);
    return result;
  }

  /** Whether a volume as read is exported just as its record says. */
  exportIsRight(volume: RdsVolume): boolean {
    return exportIsRight(this.#context, volume);
  }
}
