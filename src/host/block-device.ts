import { readFile, stat } from "node:fs/promises";
import { failure } from "../domain/errors/driver-error.ts";
import type { BlockDevice } from "./data-path.ts";
import { deviceNumber, isAbsent, isCode, readIfPresent } from "./files.ts";

const SECTOR = 512n;

/**
 * Reads a block device from its directory in sysfs (`dev`, `size` in sectors of 512 bytes, `ro`).
 * undefined if it has vanished.
 * @throws nodeStateUnknown
 */
export async function readBlockDevice(
  directory: string,
  name: string,
  nqn: string,
): Promise<BlockDevice | undefined> {
  const [number, size, readOnly] = await Promise.all([
    readAttribute(`${directory}/dev`),
    readAttribute(`${directory}/size`),
    readAttribute(`${directory}/ro`),
  ]);
  if (number === undefined || size === undefined || readOnly === undefined) return undefined;
  if (!/^\d+:\d+$/.test(number) || !/^\d+$/.test(size)) {
    throw failure("nodeStateUnknown", { what: directory, detail: `dev=${number}, size=${size}` });
  }
  return {
    nqn,
    name,
    path: `/dev/${name}`,
    number,
    sizeBytes: BigInt(size) * SECTOR,
    readOnly: readOnly !== "0",
  };
}

/**
 * The device number of a node in /dev; "" if it is no block device, undefined if nothing is there. stat(2) asks the filesystem that
 * holds the node, which is in memory, and not the device: it answers also while the device does not.
 * @throws nodeStateUnknown
 */
export async function nodeNumber(path: string): Promise<string | undefined> {
  const found = await readIfPresent(`the kind of ${path}`, () => stat(path, { bigint: true }));
  return found === undefined ? undefined : found.isBlockDevice() ? deviceNumber(found.rdev) : "";
}

/**
 * One attribute of sysfs without its line end; undefined only if it does not exist (any more).
 * @throws nodeStateUnknown
 */
export async function readAttribute(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trimEnd();
  } catch (error) {
    // ENODEV and ENXIO: the device was being removed during the read.
    if (isAbsent(error) || isCode(error, "ENODEV", "ENXIO")) return undefined;
    throw failure("nodeStateUnknown", { what: path, detail: String(error) }, error);
  }
}
