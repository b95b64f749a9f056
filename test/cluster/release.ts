import { existsSync } from "node:fs";
import { cp, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { attempt, run } from "./run.ts";

const repository = resolve(import.meta.dirname, "../..");

/**
 * Version 0.1.0: the last commit before its successor's first. No tag names it; CHANGELOG.md of later commits lists what came after it.
 */
export const V0_1_0 = "1ac603e0bd380dcd622b4c5f64ae9aa36d0f0570";

/** What is needed of an earlier version to install it. */
export interface Release {
  /** Its manifests, a directory. */
  readonly manifests: string;
  /** Its image as an archive, which containerd imports. */
  readonly image: string;
}

/** Whether this clone has a commit and its files: one without history has not. */
export async function hasCommit(commit: string): Promise<boolean> {
  return (await attempt("git", ["-C", repository, "cat-file", "-e", `${commit}:package.json`])).code === 0;
}

/**
 * Builds an earlier version by its own scripts, or takes the one that was built before: half a minute, or none.
 * @returns files in ~/.cache/rds-csi/cluster-old/<commit>
 */
export async function buildRelease(commit: string): Promise<Release> {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const directory = join(cache, "rds-csi/cluster-old", commit);
  const release = { manifests: join(directory, "manifests"), image: join(directory, "image.tar") };
  if (existsSync(directory)) return release;
  // Beside it, as whole directories can be renamed on one disk only.
  const work = `${directory}.${process.pid}`;
  const source = join(work, "source");
  await mkdir(source, { recursive: true });
  try {
    const archive = join(work, "source.tar");
    await run("git", ["-C", repository, "archive", `--output=${archive}`, commit]);
    await run("tar", ["-C", source, "-xf", archive]);
    const time = await run("git", ["-C", repository, "show", "--no-patch", "--format=%ct", commit]);
    // The source has no git of its own there.
    const env = { RDS_CSI_COMMIT: commit.slice(0, 12), SOURCE_DATE_EPOCH: time.trim() };
    await addLosetup(source);
    for (const script of ["build", "image"]) {
      await run(join(source, "scripts", script), [], { env, timeoutMs: 400_000 });
    }
    const whole = join(work, "whole");
    await cp(join(source, "manifests"), join(whole, "manifests"), { recursive: true });
    await run("tar", ["-C", join(source, "dist/image"), "-cf", join(whole, "image.tar"), "."]);
    await mkdir(dirname(directory), { recursive: true });
    // Another process may have been faster; what it made is as good.
    await rename(whole, directory).catch((error) => existsSync(directory) || Promise.reject(error));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return release;
}

/** Adds losetup to the image, which is all that it lacks for the loop data path. The executable is the version's own. */
async function addLosetup(source: string): Promise<void> {
  const file = join(source, "scripts/lib/image/contents.ts");
  const text = await readFile(file, "utf8");
  const filter = `({ dataPath }) => dataPath !== "loop"`;
  if (!text.includes(filter)) throw new Error(`${file} does not leave losetup out`);
  await writeFile(file, text.replace(filter, "() => true"));
}
