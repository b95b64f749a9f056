import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join, posix } from "node:path";
import type { Apt } from "./apt.ts";
import { MERGED } from "./contents.ts";
import { type Package, unpack } from "./deb.ts";
import { ImageError } from "./image-error.ts";
import type { Entry } from "./tree.ts";

/** Modes keep their rights to run, and lose set-user-ID and set-group-ID. */
const MODE_BITS = 0o755;

/** Where a path of the merged tree comes from. */
interface Source {
  readonly package: Package;
  readonly file: string;
  readonly link?: string;
}

/** Unpacked packages as one tree with a merged /usr; further ones are fetched as they are asked for. */
export class Store {
  /** Seconds since 1970 of the newest file that was read. */
  newest = 0;
  readonly #apt: Apt;
  readonly #packages = new Map<string, Package>();
  readonly #sources = new Map<string, Source>();

  constructor(apt: Apt) {
    this.#apt = apt;
  }

  /** Fetches and unpacks packages that are not here yet. */
  async provide(names: readonly string[]): Promise<readonly Package[]> {
    const lacking = names.filter((name) => !this.#packages.has(name));
    const downloads = lacking.length === 0 ? [] : await this.#apt.download(lacking);
    for (const unpacked of await Promise.all(downloads.map(unpack))) {
      this.#packages.set(unpacked.name, unpacked);
      await this.#index(unpacked, "");
    }
    return names.map((name) => this.package(name));
  }

  package(name: string): Package {
    const found = this.#packages.get(name);
    if (found === undefined) throw new ImageError(`the package ${name} was not fetched`);
    return found;
  }

  has(path: string): boolean {
    return this.#sources.has(path);
  }

  owner(path: string): Package {
    return this.#source(path).package;
  }

  /** Paths of files and links below a directory, sorted; the path itself if it is one. */
  below(path: string): readonly string[] {
    const paths = [...this.#sources.keys()].filter((other) => other === path || other.startsWith(`${path}/`));
    if (paths.length === 0) throw new ImageError(`no package brings ${path}`);
    return paths.sort();
  }

  /** The entry at a path. Its time counts for `newest`. */
  async entry(path: string): Promise<Entry> {
    const { file, link } = this.#source(path);
    if (link !== undefined) return { kind: "link", target: link };
    const { mode, mtimeMs } = await lstat(file);
    this.newest = Math.max(this.newest, Math.floor(mtimeMs / 1000));
    return { kind: "file", mode: mode & MODE_BITS, bytes: await readFile(file) };
  }

  /** The path that a link leads to next; undefined if it is no link. */
  next(path: string): string | undefined {
    const { link } = this.#source(path);
    return link === undefined ? undefined : merged(posix.resolve("/", posix.dirname(path), link).slice(1));
  }

  #source(path: string): Source {
    const source = this.#sources.get(path);
    if (source === undefined) throw new ImageError(`no package brings ${path}`);
    return source;
  }

  async #index(owner: Package, directory: string): Promise<void> {
    for (const entry of await readdir(join(owner.files, directory), { withFileTypes: true })) {
      const path = posix.join(directory, entry.name);
      const file = join(owner.files, path);
      if (entry.isDirectory()) await this.#index(owner, path);
      else if (entry.isSymbolicLink()) {
        this.#sources.set(merged(path), { package: owner, file, link: await readlink(file) });
      } else if (entry.isFile()) this.#sources.set(merged(path), { package: owner, file });
    }
  }
}

/** A path after /bin, /sbin, /lib and /lib64 have become links into /usr. */
export function merged(path: string): string {
  const [first = "", ...rest] = path.split("/");
  const into = MERGED[first];
  return into === undefined ? path : posix.join(into, ...rest);
}
