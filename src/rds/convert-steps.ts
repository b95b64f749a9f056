import { failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { Boot, VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { fileIsBacking, requireMounted } from "./backing-file.ts";
import type { RdsContext } from "./context.ts";
import { conversionSlots } from "./conversion-slots.ts";
import { newCopy, requireRoomForCopy } from "./copy.ts";
import { addItem, fileIsThere } from "./copy-end.ts";
import type { Disk } from "./disk.ts";
import { fileLayoutOf } from "./layout.ts";
import type { MountedDisk } from "./pool.ts";
import { addSubvolume, removeSubvolume, requireOneLabel, type SubvolumeName } from "./subvolume.ts";
import type { RdsVolume } from "./volume.ts";

/** A disk item of a conversion beside the volume's own, with the volume's record in it. */
export interface ConversionItem {
  readonly disk: Disk;
  readonly record: VolumeRecord;
}

/** The steps of a conversion, in their order; `done`: the volume is in a subvolume, and nothing else is left. */
export const CONVERSION_STEPS = ["mark", "make", "copy", "switch", "tidy", "unmark", "done"] as const;
export type ConversionStep = (typeof CONVERSION_STEPS)[number];

/** Where a volume is on its way into a subvolume. */
export interface Conversion {
  readonly id: VolumeId;
  /** What is next. */
  readonly step: ConversionStep;
  /** The volume's own item; undefined for a moment within `switch`. */
  readonly volume: RdsVolume | undefined;
  /** The item of the new file: until the volume has it. */
  readonly fresh: ConversionItem | undefined;
  /** The item of the old file, once the volume has the new one. */
  readonly kept: ConversionItem | undefined;
  readonly pool: MountedDisk;
  readonly subvolume: SubvolumeName;
  /** Paths: of the old file, of the directory of the subvolume, of the new file. */
  readonly oldFile: string;
  readonly directory: string;
  readonly newFile: string;
  /** Those of the paths that exist. */
  readonly there: ReadonlySet<string>;
  /** Bytes of the volume. */
  readonly sizeBytes: bigint;
  /** The run of the device, for the step `copy`. */
  readonly boot?: Boot | undefined;
}

/** What is known of a conversion before its step is. */
export type ConversionFacts = Omit<Conversion, "step">;

/** What is next. */
export function stepOf({ id, volume, fresh, kept, there, oldFile }: ConversionFacts): ConversionStep {
  const stage = volume?.record.conversion;
  if (volume !== undefined && stage === undefined)
    return fileLayoutOf(volume.disk.filePath, id) === "subvolume" ? "done" : "mark";
  if (stage === "tidy") return kept !== undefined || there.has(oldFile) ? "tidy" : "unmark";
  if (volume === undefined || fresh?.record.conversion === "switch") return "switch";
  return fresh === undefined ? "make" : "copy";
}

/** Condition for `find`: the item with this slot and comment. */
function itemOf({ disk }: ConversionItem): Script {
  return ros`/disk/find where slot=${disk.slot} and comment=${disk.comment}`;
}

/** Statement: ends the command unless the item is as it was read. */
function requireItem(item: ConversionItem): Script {
  return ros`:if ([:len [${itemOf(item)}]] != 1) do={ :error "rds-csi:changed" }`;
}

function requireVolume({ volume }: Conversion): RdsVolume {
  if (volume === undefined) throw failure("internal", { what: "a conversion without its volume" });
  return volume;
}

const withStage = (id: VolumeId, record: VolumeRecord, conversion: VolumeRecord["conversion"]): string =>
  encodeChecked(id, { ...record, layout: "subvolume", copy: undefined, conversion });

/**
 * Removes the copy, and the mark from the volume. The record gets a new revision: a line that marks the volume, and waits on the RDS, finds another
 * record.
 */
export function abortScript(conversion: Conversion): Script {
  const { id, subvolume, directory, pool, fresh } = conversion;
  const volume = requireVolume(conversion);
  // By the record that was read: the step switch of another process has written another one.
  const copy = fresh === undefined ? ros`` : ros`/disk/remove [${itemOf(fresh)}]; `;
  const gone = ros`:if ([:len [/disk/find where slot=${conversionSlots(id).fresh}]] > 0) do={ :error "rds-csi:changed" }`;
  const invalidations = (volume.record.invalidations ?? 0) + 1;
  const plain = encodeChecked(id, { ...volume.record, conversion: undefined, invalidations });
  const clear = ros`:if ([:len [/file/find where name=${directory}]] > 0) do={ ${removeSubvolume(subvolume, directory)}; :if ($left > 0) do={ :error "rds-csi:changed" } }`;
  return ros`${requireMounted(pool.slot)}; ${requireOneLabel(subvolume.label)}; ${requireItem(volume)}; ${copy}${gone}; ${clear}; /disk/set [${itemOf(volume)}] comment=${plain}`;
}

/** The command of each step. */
export const STEP_SCRIPTS: Readonly<
  Partial<Record<ConversionStep, (conversion: Conversion, context: RdsContext) => Script>>
> = {
  mark: (conversion) => {
    const volume = requireVolume(conversion);
    const marked = encodeChecked(volume.id, { ...volume.record, conversion: "copy" });
    return ros`/disk/set [${itemOf(volume)} and nvme-tcp-export=no] comment=${marked}`;
  },

  // What an interrupted step or another volume's state left in the place is removed first.
  make: (conversion, context) => {
    const { id, subvolume, directory, newFile, sizeBytes, pool } = conversion;
    const volume = requireVolume(conversion);
    const copy = newCopy(context, volume);
    const record = { ...volume.record, conversion: undefined, layout: "subvolume", copy } as const;
    requireRoomForCopy(id, record);
    const comment = encodeChecked(id, record);
    const clear = ros`:if ([:len [/file/find where name=${directory}]] > 0) do={ ${removeSubvolume(subvolume, directory)}; :if ($left > 0) do={ :error "rds-csi:changed" } }`;
    const item = ros`/disk/add type=file slot=${conversionSlots(id).fresh} file-path=${newFile} file-size=${sizeBytes} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=${comment}`;
    return ros`${requireMounted(pool.slot)}; ${requireOneLabel(subvolume.label)}; ${requireItem(volume)}; ${clear}; ${addSubvolume(subvolume.label, ros`${subvolume.name}`)}; ${requireItem(volume)}; ${item}`;
  },

  // Only for a copy that is none of this volume as it is.
  copy: (conversion) => {
    const { fresh, pool } = conversion;
    if (fresh === undefined) throw failure("internal", { what: "a conversion without its copy" });
    return ros`${requireMounted(pool.slot)}; ${requireItem(requireVolume(conversion))}; /disk/remove [${itemOf(fresh)}]`;
  },

  /*
   * Three items for two files. The new file has its item until the old file has one with the record; then the volume's own slot is free for the new
   * file. So at any moment at least one item has the record, and both files are there. Each statement looks for itself whether it is its turn.
   */
  switch: (conversion) => {
    const { id, volume, fresh, kept, oldFile, newFile, pool, sizeBytes } = conversion;
    const slots = conversionSlots(id);
    const record = (fresh ?? kept)?.record;
    if (record === undefined) throw failure("volumeNotFound", { volume: id });
    const [whole, tidy] = [withStage(id, record, "switch"), withStage(id, record, "tidy")];
    const has = (slot: string, comment?: Script) =>
      ros`[:len [/disk/find where slot=${slot}${comment === undefined ? ros`` : ros` and comment=${comment}`}]]`;
    const isFresh = ros`[:len [/disk/find where slot=${slots.fresh} and comment=$whole and size=${sizeBytes}]]`;
    const own = volume === undefined ? ros`` : ros`/disk/remove [${itemOf(volume)} and nvme-tcp-export=no]; `;
    const keep = ros`:if (${isFresh} = 1 && ${has(slots.kept)} = 0 && ${fileIsThere(oldFile)} && ${fileIsThere(newFile)}) do={ ${own}:if (${has(id)} = 0) do={ ${addItem(slots.kept, oldFile, ros`$whole`)} } }`;
    const use = ros`:if (${has(slots.kept, ros`$whole`)} = 1 && ${has(id)} = 0 && ${fileIsThere(newFile)}) do={ /disk/remove [/disk/find where slot=${slots.fresh} and comment=$whole]; :if (${has(id)} = 0 && ${has(slots.fresh)} = 0) do={ ${addItem(id, newFile, ros`$tidy`)} } }`;
    return ros`${requireMounted(pool.slot)}; :local whole ${whole}; :local tidy ${tidy}; ${keep}; ${use}`;
  },

  // The volume must have the new file, of its whole size, before the old one goes.
  tidy: (conversion) => {
    const { kept, oldFile, newFile, pool } = conversion;
    const volume = requireVolume(conversion);
    const isRight = volume.disk.filePath === newFile && !volume.disk.mountFilesystem;
    if (!isRight || (kept !== undefined && kept.disk.size !== volume.disk.size))
      throw failure("notVerified", {
        what: `converting volume ${volume.id}`,
        detail: "file or size of its new item",
      });
    const item = kept === undefined ? ros`` : ros`/disk/remove [${itemOf(kept)}]; `;
    return ros`${requireMounted(pool.slot)}; ${requireItem(volume)}; :if (!(${fileIsThere(newFile)})) do={ :error "rds-csi:changed" }; ${item}:local rest [/file/find where name=${oldFile}]; :if (${fileIsBacking(oldFile)}) do={ :error "rds-csi:file-in-use" }; :if ([:len $rest] > 0) do={ /file/remove $rest }`;
  },

  unmark: (conversion) => {
    const { id, oldFile, pool } = conversion;
    const volume = requireVolume(conversion);
    const done = withStage(id, volume.record, undefined);
    return ros`${requireMounted(pool.slot)}; :if ([:len [/file/find where name=${oldFile}]] > 0 || [:len [/disk/find where slot=${conversionSlots(id).kept}]] > 0) do={ :error "rds-csi:changed" }; /disk/set [${itemOf(volume)} and nvme-tcp-export=no] comment=${done}`;
  },
};
