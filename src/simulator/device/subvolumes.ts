import { randomUUID } from "node:crypto";
import { RunFailure } from "../errors.ts";
import type { Environment } from "./environment.ts";
import type { FileEntry, FileStore } from "./files.ts";
import { canonicalPath, isWithin, parentPath } from "./paths.ts";
import type { Pool } from "./pools.ts";

/** How long a removed subvolume stays listed as dead. */
const DEAD_MS = 500;

/** A Btrfs subvolume or snapshot. */
export interface Subvolume {
  readonly id: number;
  readonly pool: string;
  /** Path within the pool, such as "Snapshots/s1". */
  readonly fullname: string;
  readonly uuid: string;
  readonly snapshot: boolean;
  readonly readOnly: boolean;
  /** Full name that its source had; "" for an empty subvolume. */
  readonly parent: string;
  /** Item number of its source; absent without one, and in states of earlier versions. */
  readonly source?: number;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Set once removed: until when it is listed as dead. */
  deadUntil: number | undefined;
  /** Its directory is being made. A crash undoes it as a whole, as Btrfs does. */
  unfinished?: true;
}

/** The last part of a full name. */
export function lastPart(fullname: string): string {
  return fullname.slice(fullname.lastIndexOf("/") + 1);
}

/** Path of the subvolume's directory. */
function directoryOf({ pool, fullname }: Subvolume): string {
  return `${pool}/${fullname}`;
}

/** /disk/btrfs/subvolume (facts section 3.6). */
export class SubvolumeStore {
  readonly #env: Environment;
  readonly #pools: readonly Pool[];
  readonly #files: FileStore;
  /** Whether a disk item uses the file. */
  readonly #used: (path: string) => boolean;
  #items: Subvolume[] = [];
  /** Those that are being made: saved, and not listed yet. */
  readonly #unfinished = new Set<Subvolume>();
  /** Those that are not removed, by their directories. */
  readonly #alive = new Map<string, Subvolume>();

  constructor(env: Environment, pools: readonly Pool[], files: FileStore, used: (path: string) => boolean) {
    this.#env = env;
    this.#pools = pools;
    this.#files = files;
    this.#used = used;
  }

  /** Those of the mounted pools, with the dead ones that are still listed. */
  get items(): readonly Subvolume[] {
    return this.#listed().filter((item) => this.#isMounted(item));
  }

  /** Also those of pools that are not mounted; for saving. */
  get stored(): readonly Subvolume[] {
    return [...this.#listed(), ...this.#unfinished];
  }

  restore(item: Subvolume): void {
    if (item.unfinished) this.#unfinished.add(item);
    else this.#insert(item);
  }

  /** Path of the subvolume's directory. */
  directory(item: Subvolume): string {
    return directoryOf(item);
  }

  /** Whether `path` lies in a read-only snapshot. */
  readOnly(path: string): boolean {
    for (let folder = path; folder !== ""; folder = parentPath(folder)) {
      const found = this.#alive.get(folder);
      if (found !== undefined) return found.readOnly;
    }
    return false;
  }

  /** @throws RunFailure when `path` lies in a read-only snapshot */
  refuseReadOnly(path: string): void {
    if (this.readOnly(path)) throw new RunFailure("failure: read-only file system");
  }

  /** Whether `path` is itself a subvolume. */
  isRoot(path: string): boolean {
    return this.#alive.has(path);
  }

  /** Drops the subvolumes whose directories are gone from the backend, and removes the unfinished ones. */
  async reconcile(): Promise<void> {
    for (const item of [...this.#unfinished]) {
      await this.#removeTree(directoryOf(item));
      this.#unfinished.delete(item);
    }
    this.#items = this.#items.filter((item) => {
      const isGone =
        item.deadUntil === undefined && this.#isMounted(item) && !this.#files.isDirectory(directoryOf(item));
      if (isGone) this.#alive.delete(directoryOf(item));
      return !isGone;
    });
  }

  #insert(item: Subvolume): void {
    this.#items.push(item);
    if (item.deadUntil === undefined) this.#alive.set(directoryOf(item), item);
  }

  #listed(): readonly Subvolume[] {
    const now = this.#env.clock.now();
    this.#items = this.#items.filter((item) => item.deadUntil === undefined || item.deadUntil > now);
    return this.#items;
  }

  #isMounted({ pool }: Subvolume): boolean {
    return this.#pools.some(({ slot, mounted }) => slot === pool && mounted);
  }

  /** The subvolume that `parent=` means, by switch. */
  #parent(pool: Pool, text: string): Subvolume | undefined {
    const how = this.#env.switches().snapshotParent;
    const name = text.replace(/^\/+/, "");
    const exact = this.#alive.get(`${pool.slot}/${name}`);
    if (exact !== undefined && how !== "name") return exact;
    if (how === "fullname") return undefined;
    return this.items.find(
      (item) => item.pool === pool.slot && item.deadUntil === undefined && lastPart(item.fullname) === name,
    );
  }

  #isTaken(path: string): boolean {
    if (this.#files.get(path) !== undefined) return true;
    if ([...this.#unfinished].some((item) => directoryOf(item) === path)) return true;
    if (this.#env.switches().deadName === "free") return false;
    return this.#listed().some((item) => directoryOf(item) === path);
  }

  /**
   * Makes a subvolume, or a snapshot when `parent` is given: the files of the parent appear in it with their bytes.
   * @throws RunFailure for an unknown label or parent, and for a name that is taken
   */
  async add(label: string, name: string, parent: string | undefined, readOnly: boolean): Promise<Subvolume> {
    const pool = this.#pools.find((one) => one.label === label && one.fs === "btrfs" && one.mounted);
    if (pool === undefined) throw new RunFailure("input does not match any value of fs");
    const fullname = canonicalPath(name);
    const source = parent === undefined ? undefined : this.#parent(pool, parent);
    if (parent !== undefined && source === undefined)
      throw new RunFailure("input does not match any value of parent");
    const target = `${pool.slot}/${fullname}`;
    if (this.#isTaken(target)) throw new RunFailure(this.#env.switches().subvolumeExistsText);
    if (!this.#files.isDirectory(parentPath(target)))
      throw new RunFailure("failure: No such file or directory");
    if (this.readOnly(target)) throw new RunFailure("failure: Read-only file system");
    if (this.#env.full()) throw new RunFailure(this.#env.switches().noSpaceText);
    const item: Subvolume = {
      id: this.#env.nextId(),
      pool: pool.slot,
      fullname,
      uuid: randomUUID(),
      snapshot: source !== undefined,
      readOnly,
      parent: source?.fullname ?? "",
      ...(source === undefined ? {} : { source: source.id }),
      created: this.#env.clock.now(),
      deadUntil: undefined,
      unfinished: true,
    };
    this.#unfinished.add(item);
    try {
      await this.#env.saved?.();
      await this.#files.createDirectory(target);
      if (source !== undefined) await this.#copyTree(directoryOf(source), target);
    } catch (error) {
      // A snapshot is there or not: nothing of one that failed stays.
      await this.#removeTree(target);
      throw error;
    } finally {
      this.#unfinished.delete(item);
    }
    delete item.unfinished;
    this.#insert(item);
    this.#env.changed();
    return item;
  }

  /** Copies all that is in a subvolume, but not subvolumes inside it: those become empty directories, as in Btrfs. */
  async #copyTree(from: string, to: string): Promise<void> {
    const inner = [...this.#alive.keys()].filter((dir) => dir !== from && isWithin(dir, from));
    const entries = [...this.#files.within(from)].sort((a, b) => (a.path < b.path ? -1 : 1));
    const files: (readonly [FileEntry, string])[] = [];
    for (const entry of entries) {
      const nested = inner.some((dir) => dir !== entry.path && isWithin(entry.path, dir));
      if (entry.path === from || nested || isWithin(entry.path, to)) continue;
      const target = `${to}${entry.path.slice(from.length)}`;
      if (entry.directory) await this.#files.createDirectory(target);
      else files.push([entry, target]);
    }
    await this.#files.clone(files);
  }

  async #removeTree(directory: string): Promise<void> {
    const entries = [...this.#files.within(directory)].sort((a, b) => (a.path < b.path ? 1 : -1));
    for (const entry of entries) await this.#files.remove(entry);
  }

  /** Removes a subvolume with its files. @throws RunFailure when a disk uses one of them, by switch */
  async remove(item: Subvolume): Promise<void> {
    const switches = this.#env.switches();
    const directory = directoryOf(item);
    const isUsed = this.#files.within(directory).some((entry) => this.#used(entry.path));
    if (isUsed && switches.subvolumeInUse === "error") {
      throw new RunFailure("failure: could not unmount, stop using it first");
    }
    const nested = [...this.#alive.keys()].some((dir) => dir !== directory && isWithin(dir, directory));
    if (nested) throw new RunFailure("failure: Directory not empty");
    await this.#removeTree(directory);
    this.#alive.delete(directory);
    item.deadUntil = this.#env.clock.now() + (switches.subvolumeRemoval === "dead" ? DEAD_MS : 0);
    this.#env.changed();
  }
}
