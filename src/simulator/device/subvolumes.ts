import { randomUUID } from "node:crypto";
import { RunFailure } from "../errors.ts";
import type { Environment } from "./environment.ts";
import type { FileStore } from "./files.ts";
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
  /** Full name of its source; "" for an empty subvolume. */
  readonly parent: string;
  /** Milliseconds since the epoch. */
  readonly created: number;
  /** Set once removed: until when it is listed as dead. */
  deadUntil: number | undefined;
}

/** /disk/btrfs/subvolume (facts section 3.6). */
export class SubvolumeStore {
  readonly #env: Environment;
  readonly #pools: readonly Pool[];
  readonly #files: FileStore;
  /** Whether a disk item uses the file. */
  readonly #used: (path: string) => boolean;
  #items: Subvolume[] = [];

  constructor(env: Environment, pools: readonly Pool[], files: FileStore, used: (path: string) => boolean) {
    this.#env = env;
    this.#pools = pools;
    this.#files = files;
    this.#used = used;
  }

  get items(): readonly Subvolume[] {
    const now = this.#env.clock.now();
    this.#items = this.#items.filter((item) => item.deadUntil === undefined || item.deadUntil > now);
    return this.#items.filter((item) => this.#pools.some((pool) => pool.slot === item.pool && pool.mounted));
  }

  get stored(): readonly Subvolume[] {
    return this.#items;
  }

  restore(item: Subvolume): void {
    this.#items.push(item);
  }

  /** Path of the subvolume's directory. */
  directory(item: Subvolume): string {
    return `${item.pool}/${item.fullname}`;
  }

  /** Whether `path` lies in a read-only snapshot. */
  readOnly(path: string): boolean {
    return this.#alive().some((item) => item.readOnly && isWithin(path, this.directory(item)));
  }

  /** Whether `path` is itself a subvolume. */
  isRoot(path: string): boolean {
    return this.#alive().some((item) => this.directory(item) === path);
  }

  #alive(): readonly Subvolume[] {
    return this.items.filter((item) => item.deadUntil === undefined);
  }

  #find(pool: Pool, name: string): Subvolume | undefined {
    const own = this.#alive().filter((item) => item.pool === pool.slot);
    return (
      own.find((item) => item.fullname === name) ?? own.find((item) => item.fullname.endsWith(`/${name}`))
    );
  }

  /**
   * Makes a subvolume, or a snapshot when `parent` is given: the files of the parent appear in it with their bytes.
   * @throws RunFailure for an unknown label or parent, and for a name that is taken
   */
  async add(label: string, name: string, parent: string | undefined, readOnly: boolean): Promise<Subvolume> {
    const pool = this.#pools.find((one) => one.label === label && one.fs === "btrfs" && one.mounted);
    if (pool === undefined) throw new RunFailure("input does not match any value of fs");
    const fullname = canonicalPath(name);
    const source = parent === undefined ? undefined : this.#find(pool, parent);
    if (parent !== undefined && source === undefined)
      throw new RunFailure("input does not match any value of parent");
    const target = `${pool.slot}/${fullname}`;
    const taken = this.#items.some((item) => item.pool === pool.slot && item.fullname === fullname);
    if (taken || this.#files.get(target) !== undefined) {
      throw new RunFailure(this.#env.switches().subvolumeExistsText);
    }
    if (!this.#files.isDirectory(parentPath(target)))
      throw new RunFailure("failure: No such file or directory");
    if (this.readOnly(target)) throw new RunFailure("failure: Read-only file system");
    if (this.#env.full()) throw new RunFailure(this.#env.switches().noSpaceText);
    await this.#files.createDirectory(target);
    if (source !== undefined) await this.#copyTree(this.directory(source), target);
    const item: Subvolume = {
      id: this.#env.nextId(),
      pool: pool.slot,
      fullname,
      uuid: randomUUID(),
      snapshot: source !== undefined,
      readOnly,
      parent: source?.fullname ?? "",
      created: this.#env.clock.now(),
      deadUntil: undefined,
    };
    this.#items.push(item);
    this.#env.changed();
    return item;
  }

  /** Copies all that is in a subvolume, but not subvolumes inside it: those become empty directories, as in Btrfs. */
  async #copyTree(from: string, to: string): Promise<void> {
    const inner = this.#alive()
      .map((item) => this.directory(item))
      .filter((dir) => dir !== from);
    const entries = [...this.#files.within(from)].sort((a, b) => (a.path < b.path ? -1 : 1));
    for (const entry of entries) {
      const nested = inner.some(
        (dir) => dir !== entry.path && isWithin(entry.path, dir) && isWithin(dir, from),
      );
      if (entry.path === from || nested || isWithin(entry.path, to)) continue;
      const target = `${to}${entry.path.slice(from.length)}`;
      if (entry.directory) await this.#files.createDirectory(target);
      else await this.#files.copy(entry, target, true);
    }
  }

  /** Removes a subvolume with its files. @throws RunFailure when a disk uses one of them, by switch */
  async remove(item: Subvolume): Promise<void> {
    const switches = this.#env.switches();
    const directory = this.directory(item);
    const entries = [...this.#files.within(directory)].sort((a, b) => (a.path < b.path ? 1 : -1));
    if (switches.subvolumeInUse === "error" && entries.some((entry) => this.#used(entry.path))) {
      throw new RunFailure("failure: could not unmount, stop using it first");
    }
    const nested = this.#alive().some((one) => one !== item && isWithin(this.directory(one), directory));
    if (nested) throw new RunFailure("failure: Directory not empty");
    for (const entry of entries) await this.#files.remove(entry);
    item.deadUntil = this.#env.clock.now() + (switches.subvolumeRemoval === "dead" ? DEAD_MS : 0);
    this.#env.changed();
  }
}
