import { readFileSync, statSync } from "node:fs";
import { deviceNumber, isCode } from "./device-number.ts";

/** `address perms offset major:minor inode path`. Source: proc(5), /proc/pid/maps. */
const LINE = /^([0-9a-f]+)-([0-9a-f]+) \S+ [0-9a-f]+ ([0-9a-f]+):([0-9a-f]+) (\d+)\s+(\/.*)$/;
/** A mapping may move while it is looked at; then all are read anew, so often. */
const ATTEMPTS = 3;

/** What is known of files that processes map, by mount namespace, so that a library is looked at once and not per process. */
export type KnownMappings = Map<string, string | undefined>;

/** A device that a process maps; `file`: a file of the filesystem on it. */
export interface Mapping {
  readonly device: string;
  readonly what: "file" | "device";
}

/**
 * The filesystems and the block devices that a process maps, also through descriptors that it has closed. `maps` names the
 * filesystem of a mapped file; for a device node that is the one which holds the node, so the device itself is asked for
 * through `map_files`, whose links lead to what is mapped under whatever name, in whatever mount namespace.
 * @param base directory of the process, or of a thread of it, in /proc
 * @param namespace its mount namespace
 * @param remote `major:minor` of network filesystems, whose files are not touched
 * @throws the error of stat(2); EPERM without CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE; EBUSY if the mappings never stood still
 */
export function mappedDevices(
  base: string,
  namespace: string,
  remote: ReadonlySet<string>,
  known: KnownMappings,
): readonly Mapping[] {
  for (let attempt = 1; ; attempt += 1) {
    const found = mappingsNow(base, namespace, remote, known);
    if (found !== undefined) return found;
    if (attempt === ATTEMPTS) {
      throw Object.assign(new Error(`${base}/maps changed while it was read`), { code: "EBUSY" });
    }
  }
}

/** undefined: a mapping has gone or moved since it was listed. */
function mappingsNow(
  base: string,
  namespace: string,
  remote: ReadonlySet<string>,
  known: KnownMappings,
): readonly Mapping[] | undefined {
  const found = new Map<string, Mapping>();
  const add = (mapping: Mapping): void => {
    found.set(`${mapping.what} ${mapping.device}`, mapping);
  };
  for (const line of readFileSync(`${base}/maps`, "latin1").split("\n")) {
    const match = LINE.exec(line);
    if (match === null) continue;
    const [, start = "", end = "", major = "", minor = "", inode = "", path = ""] = match;
    if (inode === "0") continue;
    const filesystem = `${Number.parseInt(major, 16)}:${Number.parseInt(minor, 16)}`;
    add({ device: filesystem, what: "file" });
    if (remote.has(filesystem)) continue;
    const key = `${namespace} ${filesystem} ${inode} ${path}`;
    if (!known.has(key)) {
      try {
        // `maps` pads addresses with zeros, map_files does not and knows no other spelling.
        const stat = statSync(`${base}/map_files/${plain(start)}-${plain(end)}`);
        known.set(key, stat.isBlockDevice() ? deviceNumber(stat.rdev) : undefined);
      } catch (error) {
        if (isCode(error, "ENOENT")) return undefined;
        throw error;
      }
    }
    const device = known.get(key);
    if (device !== undefined) add({ device, what: "device" });
  }
  return [...found.values()];
}

function plain(address: string): string {
  return address.replace(/^0+(?=.)/, "");
}
