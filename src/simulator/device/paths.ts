import { RunFailure } from "../errors.ts";

/**
 * A path in canonical form, without leading slash: `storage-pool/csi/x.img`.
 * @throws RunFailure for an empty path, empty parts, `.`, `..` and control characters
 */
export function canonicalPath(text: string): string {
  const bare = text.replace(/^\/+/, "").replace(/\/+$/, "");
  const parts = bare.split("/");
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused
  const bad = /[\x00-\x1f]/.test(bare) || parts.some((part) => part === "" || part === "." || part === "..");
  if (bad) throw new RunFailure("failure: bad path");
  return bare;
}

/** The directory that holds `path`; "" for a pool's root. */
export function parentPath(path: string): string {
  const slash = path.lastIndexOf("/");
  return slash < 0 ? "" : path.slice(0, slash);
}

/** The first part of a path: the mount point of its pool. */
export function poolName(path: string): string {
  return path.split("/", 1)[0] ?? "";
}

/** Whether `path` is `folder` or lies below it. */
export function isWithin(path: string, folder: string): boolean {
  return path === folder || path.startsWith(`${folder}/`);
}
