import { readFileSync, statSync } from "node:fs";
import { deviceNumber, isCode } from "../host/files.ts";
import type { Remote } from "./remote.ts";

/** `address perms offset major:minor inode path`. A path holds any character but a line feed. Source: proc(5), /proc/pid/maps. */
const LINE = /^([0-9a-f]+)-([0-9a-f]+) [rwxps-]{4} [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+)(?: +(.*))?$/s;
/** So many times a mapping that moves is looked for. */
const ATTEMPTS = 10;
/** A bound on memory: a pod can map any number of files. */
const REMEMBERED = 100_000;

/** The devices of files that processes map, by mount namespace and file, so that a library is looked at once. */
export type KnownMappings = Map<string, string | undefined>;

/** A device that a process maps; `file`: a file of the filesystem on it. */
export interface Mapping {
  readonly device: string;
  readonly what: "file" | "device";
}

/**
 * The filesystems and the block devices that a process maps, also through descriptors that it has closed. `maps` names the
 * filesystem of a mapped file. For a device node that is the filesystem which holds the node, so the device itself is read
 * through `map_files`, whose links lead to the mapped file in any mount namespace and under any name.
 *
 * A mapping that has gone by the next reading of `maps` does not count. One of the same file that is in each reading, and has
 * moved at each look, may hide a device. So a process that maps and unmaps all the time does not stand in the way.
 * @param base directory of the process, or of a thread of it, in /proc
 * @param remote the network filesystems of its mount namespace, whose files are not touched
 * @param count called with the number of mappings that were read
 * @param read reads `maps`
 * @throws the error of stat(2); EPERM without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; EBUSY if a mapping never stood still,
 * or if a line has an unknown form
 */
export function mappedDevices(
  base: string,
  remote: Pick<Remote, "namespace" | "devices">,
  known: KnownMappings,
  count: (entries: number) => void = () => {},
  read: (path: string) => string = (path) => readFileSync(path, "latin1"),
): readonly Mapping[] {
  const found = new Map<string, Mapping>();
  const add = (mapping: Mapping): void => {
    found.set(`${mapping.what} ${mapping.device}`, mapping);
  };
  /** Files whose listed mappings had moved or gone at the look; undefined before the first look. */
  let moved: ReadonlySet<string> | undefined;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    const missed = new Set<string>();
    for (const { filesystem, file, range } of filesIn(read(`${base}/maps`), base, count)) {
      const key = `${remote.namespace} ${file}`;
      if (moved === undefined) add({ device: filesystem, what: "file" });
      if (remote.devices.has(filesystem) || moved?.has(key) === false) continue;
      let device = known.get(key);
      if (!known.has(key)) {
        try {
          const stat = statSync(`${base}/map_files/${range}`);
          device = stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined;
          if (known.size < REMEMBERED) known.set(key, device);
        } catch (error) {
          if (!isCode(error, "ENOENT")) throw error;
          missed.add(key);
          continue;
        }
      }
      missed.delete(key);
      if (device !== undefined) add({ device, what: "device" });
    }
    if (missed.size === 0) return [...found.values()];
    moved = missed;
  }
  throw unclear(`${base}/maps changed while it was read`);
}

function unclear(message: string): Error {
  return Object.assign(new Error(message), { code: "EBUSY" });
}

/** The mappings of files in the text of `maps`; `range` as map_files spells it, which pads no addresses with zeros. */
function filesIn(text: string, base: string, count: (entries: number) => void) {
  const lines = text.split("\n");
  count(lines.length);
  return lines.flatMap((line) => {
    if (line === "") return [];
    const found = LINE.exec(line);
    if (found === null) throw unclear(`${base}/maps has a line of an unknown form`);
    const [, start = "", end = "", major = "", minor = "", inode, path = ""] = found;
    // Anonymous memory, and files without a place in a filesystem: `anon_inode:…`, `socket:…`.
    if (inode === "0" || !path.startsWith("/")) return [];
    const filesystem = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
    return [{ filesystem, file: `${filesystem} ${inode} ${path}`, range: `${plain(start)}-${plain(end)}` }];
  });
}

function plain(address: string): string {
  return address.replace(/^0+(?=.)/, "");
}
