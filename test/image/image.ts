import type { Buffer } from "node:buffer";
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join, posix, resolve } from "node:path";
import process from "node:process";
import { TARGETS, type Target } from "../../scripts/lib/image/contents.ts";
import type { Report } from "../../scripts/lib/image/report.ts";

/** What `scripts/image --test` made; not set without that. */
const directory = process.env.RDS_CSI_IMAGE ?? "";

/** Why there is no image here, for the names of skipped tests; "" when there is. */
export const noImage: string = directory === "" ? "(skipped: run scripts/image --test)" : "";

export const layout: string = join(directory, "image");

/** What each image consists of, by architecture. */
export const reports: readonly Report[] =
  noImage === "" ? (JSON.parse(readFileSync(join(directory, "image.json"), "utf8")) as Report[]) : [];

const own = process.arch === "arm64" ? "arm64" : "x64";

/** The target whose programs this machine can run. */
export const ownTarget: Target = TARGETS.find(({ name }) => name === own) as Target;

export const executableOf = (target: Target): string => join(directory, `rds-csi-linux-${target.name}`);

export const rootOf = (target: Target): string =>
  resolve(directory, target.name === own ? "rootfs" : `rootfs-linux-${target.name}`);

/** A file, link or directory of a root filesystem on disk. */
export interface Found {
  readonly path: string;
  readonly mode: number;
  readonly link?: string;
  readonly bytes?: Buffer;
  readonly mtime: number;
}

/** Everything below a root, sorted. */
export async function filesOf(root: string): Promise<readonly Found[]> {
  const found: Found[] = [];
  // By hand: a recursive readdir of Bun follows links to directories.
  const walk = async (directory: string): Promise<void> => {
    for (const entry of await readdir(join(root, directory), { withFileTypes: true })) {
      const path = posix.join(directory, entry.name);
      found.push(await foundAt(root, path));
      if (entry.isDirectory()) await walk(path);
    }
  };
  await walk("");
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

async function foundAt(root: string, path: string): Promise<Found> {
  const at = join(root, path);
  const stats = await lstat(at);
  const found = { path, mode: stats.mode & 0o7777, mtime: stats.mtimeMs / 1000 };
  if (stats.isSymbolicLink()) return { ...found, link: await readlink(at) };
  return stats.isFile() ? { ...found, bytes: await readFile(at) } : found;
}

/** Where a path of a root leads, links followed inside the root; undefined when there is nothing. */
export function follow(files: ReadonlyMap<string, Found>, path: string, depth = 0): string | undefined {
  if (depth > 20) return undefined;
  const parts = path.split("/").filter((part) => part !== "");
  for (let n = 1; n <= parts.length; n += 1) {
    const at = parts.slice(0, n).join("/");
    const found = files.get(at);
    if (found === undefined) return undefined;
    if (found.link === undefined) continue;
    const to = posix.resolve("/", posix.dirname(at), found.link);
    return follow(files, posix.join(to, ...parts.slice(n)), depth + 1);
  }
  return parts.join("/");
}

const isRoot = process.getuid?.() === 0;

/** How a program ended; both of its streams together. */
export interface Ended {
  readonly code: number | null;
  readonly output: string;
}

/**
 * Runs a program in a root, read-only, with a /proc and an empty /tmp, as a user; as an ordinary user only as "root" of a
 * user namespace.
 * @param until it is killed as soon as its output matches this
 */
export function inRoot(root: string, command: readonly string[], user = 0, until?: RegExp): Promise<Ended> {
  const script =
    'mount --bind "$0" "$0" && mount -t proc proc "$0/proc" && mount -t tmpfs tmpfs "$0/tmp" && mount -o remount,ro,bind "$0" && ' +
    `cd / && exec chroot ${user === 0 ? "" : `--userspec=${user}:${user}`} "$0" "$@"`;
  const namespaces = ["--mount", "--pid", "--fork", "--kill-child", ...(isRoot ? [] : ["--map-root-user"])];
  return new Promise((resolve, reject) => {
    const child = spawn("unshare", [...namespaces, "sh", "-c", script, root, ...command], {
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      stdio: ["ignore", "pipe", "pipe"],
      timeout: 30_000,
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (until?.test(output)) child.kill("SIGKILL");
      });
    }
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

/** Why nothing can be run in a root here, for the names of skipped tests; "" when it can. */
export const noChroot: string = await (async () => {
  if (noImage !== "") return noImage;
  const tried = await inRoot(rootOf(ownTarget), ["/usr/bin/stat", "--version"]).catch((error: unknown) => ({
    code: -1,
    output: String(error),
  }));
  // Only what keeps namespaces from being made is a reason; a program that does not run is a failure.
  const refused = /unshare: .*(not permitted|failed)|mount: .*denied|ENOENT/.test(tried.output);
  return tried.code !== 0 && refused ? `(skipped: no namespaces here: ${tried.output.trim()})` : "";
})();

/** Why no other user than root can be had, for the names of skipped tests; "" when one can. */
export const noUsers: string = noChroot !== "" || isRoot ? noChroot : "(skipped: not root)";
