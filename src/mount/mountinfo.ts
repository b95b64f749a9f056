import { readFile, readlink } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import { readState } from "../host/files.ts";

/** One mount as the kernel lists it. Source: proc(5), /proc/pid/mountinfo. */
export interface Mount {
  readonly id: number;
  readonly parentId: number;
  /** `major:minor` of the filesystem's device. */
  readonly device: string;
  /** Which part of the filesystem is mounted: `/` unless it is a bind mount of something inside it. */
  readonly root: string;
  readonly mountPoint: string;
  /** Options of this mount (`ro`, `nosuid`, ...). */
  readonly options: readonly string[];
  /** Whether mounts below it appear in the other mount namespaces that have it, and theirs here. */
  readonly shared: boolean;
  readonly fsType: string;
  readonly source: string;
  /** Options of the filesystem (`rw`, `errors=...`). */
  readonly superOptions: readonly string[];
}

/**
 * Parses the text of /proc/pid/mountinfo, in the kernel's order: of several mounts at one path the last is on top.
 * @throws nodeStateUnknown on a line that does not have the documented form
 */
export function parseMountinfo(text: string): readonly Mount[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map(parseLine);
}

/**
 * The mounts of this process's mount namespace. Reads no filesystem, so a dead device does not delay it.
 * @throws nodeStateUnknown
 */
export async function readMounts(path = "/proc/self/mountinfo"): Promise<readonly Mount[]> {
  return parseMountinfo(await readState("the mount table", () => readFile(path, "utf8")));
}

/** The mounts at exactly this path, lowest first. */
export function mountsAt(mounts: readonly Mount[], path: string): readonly Mount[] {
  return mounts.filter((mount) => mount.mountPoint === path);
}

/** The mount in whose filesystem a path lies, whether or not it exists; of several at one place the one on top. */
export function mountOf(mounts: readonly Mount[], path: string): Mount | undefined {
  return mounts.reduce<Mount | undefined>((best, mount) => {
    const { mountPoint } = mount;
    const within = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    return within && mountPoint.length >= (best?.mountPoint.length ?? 0) ? mount : best;
  }, undefined);
}

/**
 * Id, parent, device, root, mount point, options, tags, `-`, type, source, options of the filesystem. Blanks separate them; every other
 * white space, such as a carriage return or a no-break space, is part of a name.
 */
const FORM =
  /^(\d+) (\d+) (\d+:\d+) ([^ ]*) ([^ ]*) ([^ ]*)((?: [^ ]+)*?) - ([^ ]*) ([^ ]*) ([^ ]*)(?: .*)?$/s;

/** Options of a filesystem. The commas of an SELinux context stand in quotes: security/selinux/hooks.c, show_sid. */
const OPTIONS = /(?<=^|,)(?:[a-z]*context="[^"]*"|[^,]*)/g;

function parseLine(line: string): Mount {
  const match = FORM.exec(line);
  if (match === null) {
    const detail = `line ${JSON.stringify(line.slice(0, 200))} has an unknown form`;
    throw failure("nodeStateUnknown", { what: "the mount table", detail });
  }
  const [, id, parentId, device = "", root = "", mountPoint = "", options = "", tags = ""] = match;
  const [fsType = "", source = "", superOptions = ""] = match.slice(8);
  return {
    id: Number(id),
    parentId: Number(parentId),
    device,
    root: unmangle(root),
    mountPoint: unmangle(mountPoint),
    options: options.split(","),
    shared: tags.includes(" shared:"),
    fsType: unmangle(fsType),
    source: unmangle(source),
    superOptions: (superOptions.match(OPTIONS) ?? []).map(unmangle),
  };
}

/** The kernel writes space, tab, newline, backslash (and `#`) as a backslash and three octal digits. */
function unmangle(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/**
 * The mount that hides from the machine each mount that this process makes below `directory`: this process has a mount
 * namespace of its own, such as a container's, and the mount is not shared. undefined: there is none, or the namespaces cannot
 * be read.
 * Source: mount_namespaces(7), "Shared subtrees".
 * @throws nodeStateUnknown when the mount table cannot be read
 */
export async function hidingMount(procRoot: string, directory: string): Promise<Mount | undefined> {
  const [own, machine] = await Promise.all([
    readlink(`${procRoot}/self/ns/mnt`).catch(() => undefined),
    readlink(`${procRoot}/1/ns/mnt`).catch(() => undefined),
  ]);
  if (own === undefined || machine === undefined || own === machine) return undefined;
  const mount = mountOf(await readMounts(`${procRoot}/self/mountinfo`), directory);
  return mount?.shared === false ? mount : undefined;
}
