import { readdir } from "node:fs/promises";
import { readAttribute } from "../host/block-device.ts";
import { readState } from "../host/files.ts";

/** A device that the kernel has on top of another device. */
export interface Holder {
  /** Kernel name, e.g. `dm-0`. */
  readonly name: string;
  readonly kind: "multipath" | "lvm" | "other";
  /** For people, e.g. `dm-0 (multipath map mpatha of multipathd)`. */
  readonly description: string;
}

/**
 * The devices on top of a block device, and of its partitions, with their makers: the prefix of its UUID names the maker of
 * a device-mapper map. Reads sysfs only.
 * Source: Linux, Documentation/ABI/testing/sysfs-block-dm; libdevmapper, "DM UUID"; multipath-tools, UUID_PREFIX; kpartx.
 * @param directory of the device in sysfs
 * @throws nodeStateUnknown
 */
export async function holdersOf(directory: string): Promise<readonly Holder[]> {
  const holders: Holder[] = [];
  for (const place of [directory, ...(await partitionsOf(directory)).map((name) => `${directory}/${name}`)]) {
    for (const name of await readState(`${place}/holders`, () => readdir(`${place}/holders`)))
      holders.push(await holder(place, name));
  }
  return holders;
}

/** Names of the partitions of a device, e.g. `nvme0n1p1`. @throws nodeStateUnknown */
export async function partitionsOf(directory: string): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readState(directory, () => readdir(directory))) {
    if (!/p\d+$/.test(name)) continue;
    if ((await readAttribute(`${directory}/${name}/partition`)) !== undefined) found.push(name);
  }
  return found;
}

async function holder(place: string, name: string): Promise<Holder> {
  const at = `${place}/holders/${name}`;
  const [uuid, map] = [await readAttribute(`${at}/dm/uuid`), await readAttribute(`${at}/dm/name`)];
  const kind = /^(part\d+-)?mpath-/.test(uuid ?? "")
    ? "multipath"
    : uuid?.startsWith("LVM-")
      ? "lvm"
      : "other";
  const level = map === undefined ? await readAttribute(`${at}/md/level`) : undefined;
  const what =
    map === undefined
      ? level && `md array, ${level}`
      : kind === "multipath"
        ? `multipath map ${map} of multipathd`
        : kind === "lvm"
          ? lvmText(map)
          : `device-mapper ${map}`;
  return { name, kind, description: what === undefined ? name : `${name} (${what})` };
}

/** `group-volume`, in which each hyphen of a name is doubled. */
function lvmText(map: string): string {
  const [group = "", ...rest] = map.split(/(?<!-)-(?!-)/);
  const plain = (name: string): string => name.replaceAll("--", "-");
  return `LVM volume group ${plain(group)}, volume ${plain(rest.join("-"))}`;
}
