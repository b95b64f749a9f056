import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { ImageError } from "./image-error.ts";

/** The fields of a package.json that matter here. */
interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

const LICENCE_FILE = /^(licen[cs]e|copying|notice)([.-]|$)/i;

/** A package that is compiled into the executable. */
export interface EmbeddedPackage {
  readonly name: string;
  readonly version: string;
  /** SPDX expression; undefined: only its texts say it. */
  readonly license: string | undefined;
  /** Its licence files. */
  readonly texts: readonly string[];
}

/** The npm packages of `dependencies` with all that they depend on, by name and version. */
export async function embeddedPackages(repository: string): Promise<readonly EmbeddedPackage[]> {
  const packages = new Map<string, EmbeddedPackage>();
  const manifest = await manifestOf(repository);
  for (const name of Object.keys(manifest.dependencies ?? {})) await collect(name, repository, packages);
  return [...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}

/** The runtime that is compiled into the executable. */
export async function embeddedRuntime(repository: string): Promise<EmbeddedPackage> {
  const { name, version, license } = await manifestOf(join(repository, "node_modules/bun"));
  return { name, version, license: license ?? "MIT", texts: [] };
}

/**
 * The licences of everything that may be compiled into the executable. Texts that a package does not bring are named by their
 * identifiers.
 */
export async function thirdPartyNotices(repository: string): Promise<string> {
  const bun = await embeddedRuntime(repository);
  const sections = (await embeddedPackages(repository)).map(({ name, version, license, texts }) =>
    [`${name} ${version}: ${license ?? "see below"}\n`, ...texts.map((text) => `${text.trim()}\n`)].join(
      "\n",
    ),
  );
  return [
    `The executable rds-csi contains what follows.\n\n${bun.name} ${bun.version}: ${bun.license}. It contains JavaScriptCore and WebKit (LGPL-2.1, BSD-2-Clause) and other libraries, listed in its documentation at https://bun.com/docs/project/license.\n`,
    ...sections,
  ].join(`\n${"-".repeat(80)}\n\n`);
}

async function collect(name: string, from: string, packages: Map<string, EmbeddedPackage>): Promise<void> {
  const directory = await locate(name, from);
  const { version, license, dependencies = {}, ...manifest } = await manifestOf(directory);
  const title = `${manifest.name} ${version}`;
  if (packages.has(title)) return;
  const files = (await readdir(directory)).filter((file) => LICENCE_FILE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), "utf8")));
  if (license === undefined && texts.length === 0)
    throw new ImageError(`the npm package ${title} names no licence`);
  packages.set(title, { name: manifest.name, version, license, texts });
  for (const needed of Object.keys(dependencies)) await collect(needed, directory, packages);
}

/** Where a package finds another: in its own node_modules, or in one above it. */
async function locate(name: string, from: string): Promise<string> {
  for (let at = from; ; at = dirname(at)) {
    const directory = join(at, "node_modules", name);
    const found = await access(join(directory, "package.json")).then(
      () => true,
      () => false,
    );
    if (found) return directory;
    if (at === dirname(at))
      throw new ImageError(`the npm package ${name}, which ${from} needs, is not installed`);
  }
}

async function manifestOf(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, "package.json"), "utf8")) as Manifest;
}
