import { isHandleLabel } from "../domain/snapshot-id.ts";
import { payload } from "../routeros/envelope.ts";
import { escapeRegex } from "../routeros/quote.ts";
import type { Listing } from "../routeros/reply/form.ts";
import { flag, type Row, text } from "../routeros/reply/row.ts";
import { ros, type Script } from "../routeros/script.ts";
import { requireMounted } from "./backing-file.ts";
import type { Disk } from "./disk.ts";

/** The name of a Btrfs subvolume. */
export interface SubvolumeName {
  /** Label of the filesystem. */
  readonly label: string;
  /** Path within the filesystem, without a leading slash. */
  readonly name: string;
}

/** A row of `/disk/btrfs/subvolume`. Source: RouterOS CLI reference, "Btrfs subvolumes and snapshots". */
export interface Subvolume extends SubvolumeName {
  readonly readOnly: boolean;
  /** Removed, and listed for a while yet. */
  readonly dead: boolean;
}

/** Whether subvolumes can be made on a mounted pool: it is Btrfs, and its label names it. */
export function canHoldSubvolumes({ fs, fsLabel }: Pick<Disk, "fs" | "fsLabel">): boolean {
  return fs === "btrfs" && isHandleLabel(fsLabel);
}

/** Lists the subvolumes that meet a condition. */
export function subvolumes(where: Script): Listing {
  const properties = ["fs", "fullname", "read-only", "dead"];
  return { label: "subvolumes", menu: ros`/disk/btrfs/subvolume`, where, properties };
}

export function subvolumeFromRow(row: Row): Subvolume {
  return {
    label: text(row, "fs"),
    name: text(row, "fullname").replace(/^\/+/, ""),
    readOnly: flag(row, "read-only"),
    dead: flag(row, "dead"),
  };
}

/** Expression: the ids of the subvolume with this name, also while it is dead. RouterOS may show names with a leading slash. */
export function subvolumeIds({ label, name }: SubvolumeName): Script {
  return ros`[/disk/btrfs/subvolume/find where fs=${label} and (fullname=${name} or fullname=${`/${name}`})]`;
}

/** Statement: ends the command with `label-ambiguous`, unless exactly one filesystem has the label. */
export function requireOneLabel(label: string): Script {
  return ros`:if ([:len [/disk/btrfs/filesystem/find where label=${label}]] != 1) do={ :error "rds-csi:label-ambiguous" }`;
}

/**
 * Statement: makes a subvolume, empty or as a snapshot of `parent` in the same filesystem. Whether `parent` takes the path or the last component
 * is unknown: so both are tried, the last component only while no other subvolume has it, as the device may take any of them.
 * @param name expression of its path
 */
export function addSubvolume(label: string, name: Script, parent?: string, readOnly = false): Script {
  const add = (from: Script) =>
    ros`/disk/btrfs/subvolume/add fs=${label}${from} name=${name}${readOnly ? ros` read-only=yes` : ros``}`;
  if (parent === undefined) return add(ros``);
  const last = parent.slice(parent.lastIndexOf("/") + 1);
  if (last === parent) return add(ros` parent=${parent}`);
  const isOnly = ros`[:len [/disk/btrfs/subvolume/find where fs=${label} and fullname~${`(^|/)${escapeRegex(last)}$`}]] = 1 && [:len ${subvolumeIds({ label, name: parent })}] = 1`;
  // Either text may be the one that says why.
  return ros`:onerror g in={ ${add(ros` parent=${parent}`)} } do={ :if (!(${isOnly})) do={ :error ($g . ${`; it is gone, or ${last} is the name of another subvolume, too`}) }; :onerror h in={ ${add(ros` parent=${last}`)} } do={ :error ($g . "; " . $h) } }`;
}

/** Expression: whether a disk item is backed by a file in the folder. RouterOS shows paths with a leading slash or without. */
export function folderIsBacking(path: string): Script {
  return ros`[:len [/disk/find where file-path~${`^/?${escapeRegex(path)}/`}]] > 0`;
}

/**
 * Statements: removes a subvolume with its files, unless a disk item uses one of them (`file-in-use`). A failure counts only if its directory
 * stays: a subvolume that is removed already is listed for a while. The number of directories that are left goes into `$left`.
 * @param path of its directory
 */
export function removeSubvolume(subvolume: SubvolumeName, path: string): Script {
  const remove = ros`:foreach s in=${subvolumeIds(subvolume)} do={ :onerror g in={ /disk/btrfs/subvolume/remove $s } do={ :set why $g } }`;
  return ros`:if (${folderIsBacking(path)}) do={ :error "rds-csi:file-in-use" }; :local why ""; ${remove}; :local left [:len [/file/find where name=${path}]]; :if ($left > 0 && [:len $why] > 0) do={ :error $why }`;
}

/** As `removedFile`, for a volume in a subvolume: puts the number of directories that are left under `left`. */
export function removedSubvolume(pool: string, subvolume: SubvolumeName, path: string): Script {
  return ros`${removeSubvolume(subvolume, path)}; ${payload("left", ros`$left`)}; ${requireMounted(pool)}`;
}
