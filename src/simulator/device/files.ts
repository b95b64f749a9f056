import { RunFailure } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { isWithin, parentPath, poolName } from "./paths.ts";
import { type Pool, usableBytes } from "./pools.ts";

/** A file or directory of the device. */
export interface FileEntry {
  readonly id: number;
  /** Without leading slash. */
  readonly path: string;
  readonly directory: boolean;
  /** Logical size in bytes. */
  size: bigint;
  /** Bytes of the pool's free space that the file takes; of a clone those that it has on top of its blocks. */
  charged: bigint;
  /** Whether it shares the blocks of another, as in a snapshot: it takes space as the two diverge. */
  readonly clone?: boolean;
  /** Milliseconds since the epoch. */
  modified: number;
}

/** The file tree: names, sizes and the space that they take. The bytes are the backend's. */
export class FileStore {
  readonly #env: Environment;
  readonly #pools: readonly Pool[];
  readonly #entries = new Map<string, FileEntry>();
  /** Bytes that clones take, by path, where the backend knows no more than that. */
  readonly #measured = new Map<string, bigint>();

  constructor(env: Environment, pools: readonly Pool[]) {
    this.#env = env;
    this.#pools = pools;
  }

  /** All entries on mounted pools, in the order of their paths. */
  get entries(): readonly FileEntry[] {
    return [...this.#entries.values()]
      .filter((entry) => this.poolOf(entry.path)?.mounted === true)
      .sort((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** Also those on pools that are not mounted; for saving. */
  get stored(): readonly FileEntry[] {
    return [...this.#entries.values()];
  }

  /** Takes over an entry of a saved state. */
  restore(entry: FileEntry): void {
    this.#entries.set(entry.path, entry);
  }

  /** Drops the files that the backend lacks and takes in the others that it has. */
  reconcile(found: readonly { path: string; directory: boolean; size: bigint }[]): void {
    const present = new Map(found.map((entry) => [entry.path, entry]));
    for (const path of [...this.#entries.keys()]) if (!present.has(path)) this.#entries.delete(path);
    for (const { path, directory, size } of found) {
      const known = this.#entries.get(path);
      if (known !== undefined && known.directory === directory) known.size = size;
      else if (path.includes("/") || directory) this.#put(path, directory, size, size);
    }
  }

  poolOf(path: string): Pool | undefined {
    return this.#pools.find((pool) => pool.slot === poolName(path));
  }

  get(path: string): FileEntry | undefined {
    return this.poolOf(path)?.mounted === true ? this.#entries.get(path) : undefined;
  }

  /** Whether `path` can hold entries. */
  isDirectory(path: string): boolean {
    return this.get(path)?.directory === true;
  }

  within(folder: string): readonly FileEntry[] {
    return this.stored.filter((entry) => isWithin(entry.path, folder));
  }

  /** Free bytes of a pool. */
  free(pool: Pool): bigint {
    const usage = this.#env.backend.usage?.(pool.slot);
    const isSparse = this.#env.switches().allocation === "sparse";
    let free = usableBytes(pool) - ((isSparse ? usage?.all : usage?.clones) ?? 0n);
    for (const entry of this.#entries.values()) {
      if (!isWithin(entry.path, pool.slot) || (isSparse && usage !== undefined)) continue;
      free -= entry.charged + (isSparse ? 0n : (this.#measured.get(entry.path) ?? 0n));
    }
    return free < 0n ? 0n : free;
  }

  /** Bytes that a new file of `size` bytes takes at once. */
  #charge(size: bigint): bigint {
    return this.#env.switches().allocation === "prealloc" ? size : 0n;
  }

  /** What a file of another size is charged: a clone is charged for what it grows. */
  #chargeOf(entry: FileEntry, size: bigint): bigint {
    if (entry.clone !== true) return this.#charge(size);
    const charge = entry.charged + this.#charge(size) - this.#charge(entry.size);
    return charge < 0n ? 0n : charge;
  }

  /** Whether the pool of `path` has room for a file of `size` bytes that takes `charged` more than now. */
  #fits(path: string, size: bigint, charged: bigint): boolean {
    const pool = this.poolOf(path);
    if (pool === undefined || this.#env.full()) return false;
    return charged <= this.free(pool) && size <= usableBytes(pool);
  }

  /** Whether the pool of `path` has room for a new file of `size` bytes. */
  fits(path: string, size: bigint): boolean {
    return this.#fits(path, size, this.#charge(size));
  }

  /** Whether the pool of a file has room for it with `size` bytes. */
  growable(entry: FileEntry, size: bigint): boolean {
    return this.#fits(entry.path, size, this.#chargeOf(entry, size) - entry.charged);
  }

  /** Reads anew how many bytes sparse files and clones take. */
  async refresh(): Promise<void> {
    const { backend, switches } = this.#env;
    const isSparse = switches().allocation === "sparse";
    const isCounted = backend.usage !== undefined;
    for (const entry of this.#entries.values()) {
      if (entry.directory || !(isSparse || (entry.clone === true && !isCounted))) continue;
      const bytes = await backend.allocated(entry.path).catch(() => 0n);
      if (isSparse) entry.charged = bytes;
      else this.#measured.set(entry.path, bytes);
    }
  }

  #put(path: string, directory: boolean, size: bigint, charged: bigint, clone = false): FileEntry {
    const modified = this.#env.clock.now();
    const entry: FileEntry = {
      id: this.#env.nextId(),
      path,
      directory,
      size,
      charged,
      modified,
      ...(clone ? { clone } : {}),
    };
    this.#entries.set(path, entry);
    this.#env.changed();
    return entry;
  }

  /** @throws RunFailure when the name is taken, the parent is no directory or the pool is full */
  async createFile(path: string, size: bigint): Promise<FileEntry> {
    this.#checkName(path);
    if (!this.fits(path, size)) throw new RunFailure(this.#env.switches().noSpaceText);
    await this.#env.backend.create(path, size);
    return this.#put(path, false, size, this.#charge(size));
  }

  /** An entry for bytes that the backend has already, taking no space of its own (a shared extent). */
  adopt(path: string, size: bigint, charged: bigint): FileEntry {
    return this.#put(path, false, size, charged);
  }

  async createDirectory(path: string): Promise<FileEntry> {
    this.#checkName(path);
    await this.#env.backend.makeDirectory(path);
    return this.#put(path, true, 0n, 0n);
  }

  /** Makes a directory and those above it that are missing. */
  async makeDirectories(path: string): Promise<void> {
    const parts = path.split("/");
    for (let count = 1; count <= parts.length; count += 1) {
      const folder = parts.slice(0, count).join("/");
      if (!this.isDirectory(folder)) await this.createDirectory(folder);
    }
  }

  #checkName(path: string): void {
    if (this.get(path) !== undefined) throw new RunFailure(this.#env.switches().directoryExistsText);
    if (!this.isDirectory(parentPath(path))) throw new RunFailure("failure: cannot open output file");
  }

  async resize(entry: FileEntry, size: bigint): Promise<void> {
    if (size > entry.size && !this.growable(entry, size)) {
      throw new RunFailure(this.#env.switches().noSpaceText);
    }
    await this.#env.backend.resize(entry.path, size);
    entry.charged = this.#chargeOf(entry, size);
    entry.size = size;
    entry.modified = this.#env.clock.now();
    this.#env.changed();
  }

  /** Copies a file's bytes to a new entry. */
  async copy(from: FileEntry, to: string): Promise<FileEntry> {
    if (!this.fits(to, from.size)) throw new RunFailure(this.#env.switches().noSpaceText);
    await this.#env.backend.copy(from.path, to);
    const full = this.#env.switches().copySparse === "full" ? from.size : this.#charge(from.size);
    return this.#put(to, false, from.size, full);
  }

  /** Makes new entries with the bytes of others, all at one instant where the backend can. */
  async clone(pairs: readonly (readonly [from: FileEntry, to: string])[]): Promise<void> {
    await this.#env.backend.clone(pairs.map(([from, to]) => [from.path, to] as const));
    for (const [from, to] of pairs) this.#put(to, false, from.size, 0n, true);
  }

  /** Removes a file or an empty directory. */
  async remove(entry: FileEntry): Promise<void> {
    if (entry.directory && this.within(entry.path).length > 1)
      throw new RunFailure("failure: directory not empty");
    if (entry.directory) await this.#env.backend.removeDirectory(entry.path);
    else await this.#env.backend.remove(entry.path);
    this.#entries.delete(entry.path);
    this.#measured.delete(entry.path);
    this.#env.changed();
  }
}
