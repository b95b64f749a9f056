import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Apt } from "./apt.ts";
import {
  CERTIFICATES,
  DATA_FILES,
  DIRECTORIES,
  EXECUTABLE,
  LINKS,
  LOADED_LIBRARIES,
  MERGED,
  PROGRAMS,
  packagesOf,
  type Target,
  WRITTEN,
} from "./contents.ts";
import type { Package } from "./deb.ts";
import { readElf } from "./elf.ts";
import { ImageError } from "./image-error.ts";
import { thirdPartyNotices } from "./notices.ts";
import { Store } from "./store.ts";
import { Tree } from "./tree.ts";

/** Something that the image has and why. */
export interface Part {
  readonly path: string;
  readonly bytes: number;
  readonly package: string;
}

/** A root filesystem in two layers. */
export interface Assembled {
  readonly target: Target;
  /** The part that comes from Debian. */
  readonly base: Tree;
  /** Time of the newest of its files, seconds since 1970. */
  readonly baseTime: number;
  /** The executable and its licences. */
  readonly driver: Tree;
  readonly packages: readonly Package[];
  readonly programs: readonly (Part & { readonly name: string })[];
  readonly libraries: readonly (Part & { readonly neededBy: readonly string[] })[];
}

/**
 * Collects the programs of the list, every library that they and the executable are linked with, and what else
 * contents.ts names. Nothing of the packages is run.
 */
export async function assemble(
  apt: Apt,
  target: Target,
  executable: string,
  repository: string,
): Promise<Assembled> {
  const store = new Store(apt);
  const base = new Tree();
  const driver = new Tree();
  const used = new Set<string>();
  await store.provide(
    [
      ...packagesOf(PROGRAMS),
      ...[...DATA_FILES, ...LOADED_LIBRARIES, CERTIFICATES].map((file) => file.package),
    ].filter((name, n, all) => all.indexOf(name) === n),
  );
  for (const [path, mode] of Object.entries(DIRECTORIES)) base.add(path, { kind: "directory", mode });
  for (const [path, text] of Object.entries(WRITTEN)) base.write(path, text);
  for (const [path, link] of Object.entries({ ...LINKS, ...MERGED }))
    base.add(path, { kind: "link", target: link });

  const take = async (path: string): Promise<string> => {
    for (let at = path; ; ) {
      base.add(at, await store.entry(at));
      used.add(store.owner(at).name);
      const next = store.next(at);
      if (next === undefined) return at;
      at = next;
    }
  };
  const programs: (Part & { readonly name: string })[] = [];
  for (const { name, package: owner } of PROGRAMS) {
    const path = ["usr/sbin", "usr/bin"]
      .map((directory) => `${directory}/${name}`)
      .find((at) => store.has(at));
    if (path === undefined) throw new ImageError(`the package ${owner} has no program ${name}`);
    if (store.owner(path).name !== owner) {
      throw new ImageError(
        `${name} is of the package ${store.owner(path).name}, not of ${owner}: correct src/host/tools.ts`,
      );
    }
    const at = await take(path);
    programs.push({ name, path, bytes: sizeOf(base, at), package: owner });
  }
  for (const { path } of DATA_FILES) for (const at of store.below(path)) await take(at);
  await addCertificates(store, base, used);

  driver.add(EXECUTABLE, { kind: "file", mode: 0o755, bytes: await readFile(executable) });
  driver.add("usr/share/doc/rds-csi/copyright", {
    kind: "file",
    mode: 0o644,
    bytes: await readFile(join(repository, "LICENSE")),
  });
  driver.write("usr/share/doc/rds-csi/third-party", await thirdPartyNotices(repository));
  const libraries = await addLibraries(store, target, base, driver, take);
  const packages = [...used].sort().map((name) => store.package(name));
  for (const each of packages) await addPapers(store, base, each);
  return { target, base, baseTime: store.newest, driver, packages, programs, libraries };
}

/** Follows DT_NEEDED from every program to the last library. */
async function addLibraries(
  store: Store,
  target: Target,
  base: Tree,
  driver: Tree,
  take: (path: string) => Promise<string>,
): Promise<Assembled["libraries"]> {
  const users = new Map<string, Set<string>>();
  const places = new Map<string, string>();
  const queue: { soname: string; by: string; from: string | undefined }[] = LOADED_LIBRARIES.map(
    ({ soname, package: from }) => ({
      soname,
      by: "glibc",
      from,
    }),
  );
  const ask = (path: string, tree: Tree): void => {
    const entry = tree.get(path);
    const elf = entry?.kind === "file" ? readElf(entry.bytes) : undefined;
    if (elf === undefined) return;
    if (elf.machine !== target.machine) throw new ImageError(`${path} is not for ${target.name}`);
    if (elf.searches) throw new ImageError(`${path} searches libraries in places of its own`);
    const from = tree === base ? store.owner(path).name : undefined;
    const by = path.slice(path.lastIndexOf("/") + 1);
    for (const soname of elf.needed) queue.push({ soname, by, from });
    if (elf.interpreter !== undefined) queue.push({ soname: elf.interpreter, by, from });
  };
  for (const [path] of base.entries()) ask(path, base);
  ask(EXECUTABLE, driver);
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { soname, by, from } = next;
    const name = soname.slice(soname.lastIndexOf("/") + 1);
    const known = users.get(name) ?? new Set();
    if (by !== name) users.set(name, known.add(by));
    if (soname.startsWith("/")) {
      const path = `usr${soname}`;
      if (base.get(path) === undefined) places.set(name, await take(path));
    }
    if (places.has(name)) continue;
    const path = await find(store, target, name, from ?? "libc6");
    const at = await take(path);
    places.set(name, at);
    ask(at, base);
  }
  return [...places]
    .map(([soname, at]) => ({
      path: at,
      bytes: sizeOf(base, at),
      package: store.owner(at).name,
      neededBy: [...(users.get(soname) ?? [])].sort(),
    }))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Finds a library in the packages that are here, else in those that the one which needs it depends on. */
async function find(store: Store, target: Target, soname: string, from: string): Promise<string> {
  const paths = [`usr/lib/${target.triplet}`, "usr/lib", "usr/lib64"].map(
    (directory) => `${directory}/${soname}`,
  );
  const here = () => paths.find((path) => store.has(path));
  if (here() === undefined) {
    await store.provide(store.package(from).depends.filter((name) => /^(lib|zlib)/.test(name)));
  }
  const found = here();
  if (found === undefined)
    throw new ImageError(`${soname}, which ${from} needs, is in no package that it depends on`);
  return found;
}

async function addCertificates(store: Store, base: Tree, used: Set<string>): Promise<void> {
  const { package: owner, from, to } = CERTIFICATES;
  let text = "";
  for (const path of store.below(from)) {
    const entry = await store.entry(path);
    if (entry.kind === "file") text += `${entry.bytes.toString("utf8").trimEnd()}\n`;
  }
  base.write(to, text);
  used.add(owner);
}

/** The licence, and the package list for scanners: one file a package, as there is no dpkg whose database it could be. */
async function addPapers(store: Store, base: Tree, { name, control, md5sums }: Package): Promise<void> {
  const documents = `usr/share/doc/${name}`;
  let licence = `${documents}/copyright`;
  if (!store.has(licence) && store.has(documents)) {
    const elsewhere = store.next(documents) ?? documents;
    await store.provide([elsewhere.slice(elsewhere.lastIndexOf("/") + 1)]);
    licence = `${elsewhere}/copyright`;
  }
  for (let next = store.next(licence); next !== undefined; next = store.next(licence)) licence = next;
  base.add(`${documents}/copyright`, await store.entry(licence));
  base.write(`var/lib/dpkg/status.d/${name}`, control);
  base.write(`var/lib/dpkg/status.d/${name}.md5sums`, md5sums);
}

function sizeOf(tree: Tree, path: string): number {
  const entry = tree.get(path);
  return entry?.kind === "file" ? entry.bytes.length : 0;
}
