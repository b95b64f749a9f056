import { access, mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { cacheDirectory, type Download } from "./apt.ts";
import { ImageError } from "./image-error.ts";
import { run } from "./run.ts";

/** An unpacked Debian package. */
export interface Package {
  readonly name: string;
  readonly version: string;
  readonly sha256: string;
  /** Directory with its files. */
  readonly files: string;
  /** Text of its control file, as in /var/lib/dpkg/status.d. */
  readonly control: string;
  /** Text of its list of checksums. */
  readonly md5sums: string;
  /** Packages that this one needs, the first of alternatives. */
  readonly depends: readonly string[];
}

/** Unpacks a .deb into the cache; none of its scripts run. */
export async function unpack({ package: name, file, sha256 }: Download): Promise<Package> {
  const directory = join(cacheDirectory, "unpacked", `${basename(file, ".deb")}-${sha256.slice(0, 12)}`);
  if (
    !(await access(directory).then(
      () => true,
      () => false,
    ))
  ) {
    await mkdir(join(cacheDirectory, "unpacked"), { recursive: true });
    const fresh = await mkdtemp(`${directory}.`);
    const data = await run("dpkg-deb", ["-x", file, join(fresh, "files")]);
    const control = await run("dpkg-deb", ["-e", file, join(fresh, "control")]);
    const failed = [data, control].find(({ code }) => code !== 0);
    if (failed !== undefined) {
      await rm(fresh, { recursive: true, force: true });
      throw new ImageError(`${file} cannot be unpacked: ${failed.stderr.trim()}`);
    }
    // Somebody else may have been quicker.
    await rename(fresh, directory).catch(() => rm(fresh, { recursive: true, force: true }));
  }
  const control = await readFile(join(directory, "control/control"), "utf8");
  return {
    name,
    version: field(control, "Version"),
    sha256,
    files: join(directory, "files"),
    control,
    md5sums: await readFile(join(directory, "control/md5sums"), "utf8").catch(() => ""),
    depends: dependencies(control),
  };
}

function field(control: string, name: string): string {
  return new RegExp(`^${name}: (.*)$`, "m").exec(control)?.[1] ?? "";
}

/** Names in Depends and Pre-Depends, without versions. Source: Debian Policy, section 7.1. */
export function dependencies(control: string): readonly string[] {
  const all = [field(control, "Pre-Depends"), field(control, "Depends")].join(",");
  const names = all.split(",").map((alternatives) => /^\s*([a-z0-9][a-z0-9+.-]*)/.exec(alternatives)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))];
}
