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

/**
 * The licences of everything that may be compiled into the executable: the runtime, and the npm packages of
 * `dependencies` with all that they depend on. Texts that a package does not bring are named by their identifiers.
 */
export async function thirdPartyNotices(repository: string): Promise<string> {
  const packages = new Map<string, string>();
  const manifest = await manifestOf(repository);
  for (const name of Object.keys(manifest.dependencies ?? {})) await collect(name, repository, packages);
  const bun = await manifestOf(join(repository, "node_modules/bun"));
  const sections = [...packages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, text]) => text);
  return [
    `The executable rds-csi contains what follows.\n\n${bun.name} ${bun.version}: ${bun.license ?? "MIT"}. It contains JavaScriptCore and WebKit (LGPL-2.1, BSD-2-Clause) and other libraries, listed in its documentation at https://bun.com/docs/project/license.\n`,
    ...sections,
  ].join(`\n${"-".repeat(80)}\n\n`);
}

async function collect(name: string, from: string, packages: Map<string, string>): Promise<void> {
  const directory = await locate(name, from);
  const { version, license, dependencies = {}, ...manifest } = await manifestOf(directory);
  const title = `${manifest.name} ${version}`;
  if (packages.has(title)) return;
  const files = (await readdir(directory)).filter((file) => LICENCE_FILE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(directory, file), "utf8")));
  if (license === undefined && texts.length === 0)
    throw new ImageError(`the npm package ${title} names no licence`);
  packages.set(
    title,
    [`${title}: ${license ?? "see below"}\n`, ...texts.map((text) => `${text.trim()}\n`)].join("\n"),
  );
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
