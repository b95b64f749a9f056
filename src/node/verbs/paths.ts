import { Buffer } from "node:buffer";
import type { Stats } from "node:fs";
import { lstat, mkdir, open, readdir, realpath } from "node:fs/promises";
import { basename, dirname, normalize } from "node:path";
import { failure } from "../../domain/errors/driver-error.ts";
import { readIfPresent, readState } from "../../host/files.ts";
import { hidingMount } from "../../mount/mountinfo.ts";
import type { NodeContext } from "../context.ts";

/** PATH_MAX of Linux, with its terminating zero. */
const PATH_LIMIT = 4095;

/**
 * Checks a path that a request names: present, absolute, normalised, not too long, without control characters.
 * @returns the path without a trailing slash
 * @throws fieldMissing, fieldTooLong, fieldInvalid (INVALID_ARGUMENT)
 */
export function checkPath(field: string, path: string): string {
  if (path === "") throw failure("fieldMissing", { field });
  const bytes = Buffer.byteLength(path);
  if (bytes > PATH_LIMIT) throw failure("fieldTooLong", { field, bytes, limit: PATH_LIMIT });
  const plain = plainPath(path);
  if (plain === undefined) {
    const reason = `${JSON.stringify(path)} is not an absolute, normalised path`;
    throw failure("fieldInvalid", { field, reason });
  }
  return plain;
}

/** An absolute, normalised path without its trailing slash, or undefined if it is not one. */
export function plainPath(path: string): string | undefined {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it looks for control characters
  if (!path.startsWith("/") || /[\u0000-\u001f\u007f]/.test(path)) return undefined;
  const plain = path.length > 1 && path.endsWith("/") ? path.slice(0, -1) : path;
  return plain === "/" || normalize(plain) !== plain ? undefined : plain;
}

/**
 * The path as the mount table spells it: links in its parent resolved, the last component untouched. undefined if the
 * parent does not exist.
 * @throws nodeStateUnknown
 */
export async function canonicalPath(path: string): Promise<string | undefined> {
  const parent = await readIfPresent(`the parent of ${path}`, () => realpath(dirname(path)));
  return parent === undefined ? undefined : `${parent === "/" ? "" : parent}/${basename(path)}`;
}

/**
 * As canonicalPath, for a path that is about to be used.
 * @throws parentMissing; pathOccupied when the parent is not a directory (FAILED_PRECONDITION)
 */
export async function requireCanonicalPath(path: string): Promise<string> {
  const canonical = await canonicalPath(path);
  if (canonical === undefined) throw failure("parentMissing", { path });
  const parent = dirname(canonical);
  const kind = await kindOf(parent);
  if (kind === undefined) throw failure("parentMissing", { path });
  if (kind !== "directory") throw failure("pathOccupied", { path: parent, found: `a ${kind}` });
  return canonical;
}

/**
 * Makes sure that an empty directory or file is at a path that is not a mount point, right before a mount.
 * @returns whether it was made
 * @throws pathOccupied, pathNotEmpty (FAILED_PRECONDITION); nodeCommandFailed for a full or read-only filesystem, or a
 *   parent that has gone; nodeStateUnknown
 */
export async function makeMountPoint(
  volume: string,
  path: string,
  wanted: "directory" | "file",
): Promise<boolean> {
  const kind = await kindOf(path);
  if (kind !== undefined && kind !== wanted) throw failure("pathOccupied", { path, found: `a ${kind}` });
  if (kind === wanted) {
    await requireEmpty(volume, path, wanted);
    return false;
  }
  try {
    if (wanted === "directory") await mkdir(path, { mode: 0o750 });
    else await (await open(path, "wx", 0o640)).close();
    return true;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw failure("nodeCommandFailed", { what: `making ${path}`, detail }, error);
  }
}

/**
 * The kind of file at a path that is *not* a mount point (a mount point may be on a dead device: see mount/stat.ts). Links
 * are not followed; undefined only if nothing is there.
 * @throws nodeStateUnknown
 */
export async function kindOf(
  path: string,
): Promise<"directory" | "file" | "block" | "link" | "other" | undefined> {
  const stat = await statOf(path);
  if (stat === undefined) return undefined;
  if (stat.isDirectory()) return "directory";
  if (stat.isFile()) return "file";
  if (stat.isBlockDevice()) return "block";
  return stat.isSymbolicLink() ? "link" : "other";
}

/**
 * lstat(2) of a path that is *not* a mount point; undefined only if nothing is there.
 * @throws nodeStateUnknown
 */
export async function statOf(path: string): Promise<Stats | undefined> {
  return await readIfPresent(`the kind of ${path}`, () => lstat(path));
}

/** So many entries of a directory are named. */
const SHOWN = 5;

/**
 * Refuses to mount over content: it would be hidden, and the path could not be removed after the unmount, as nothing that
 * holds data is ever deleted.
 * @param kind as kindOf has just answered
 * @throws pathNotEmpty (FAILED_PRECONDITION); nodeStateUnknown
 */
async function requireEmpty(volume: string, path: string, kind: "directory" | "file"): Promise<void> {
  const found = await readState(`the content of ${path}`, async () => {
    if (kind === "file") {
      const { size } = await lstat(path);
      return size > 0 ? `${size} bytes` : "";
    }
    const names = (await readdir(path)).sort().map((name) => JSON.stringify(name));
    const more = names.length > SHOWN ? ` and ${names.length - SHOWN} more` : "";
    return names.slice(0, SHOWN).join(", ") + more;
  });
  if (found !== "") throw failure("pathNotEmpty", { volume, path, found });
}

/**
 * Refuses to mount where only this container would see the mount. Without `mountPropagation: Bidirectional` every call succeeds
 * here, and the pod gets the empty directory below the mount: its data lands on the node's own disk, outside the volume. Where
 * the namespaces cannot be read nothing is refused; the readiness check reports that.
 * Source: Kubernetes' mount propagation.
 * @throws mountNotPropagated (FAILED_PRECONDITION), nodeStateUnknown
 */
export async function requirePropagation(node: NodeContext, path: string): Promise<void> {
  const mount = await hidingMount(node.system.procRoot, dirname(path));
  if (mount !== undefined) throw failure("mountNotPropagated", { path, mountPoint: mount.mountPoint });
}
