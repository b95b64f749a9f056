import { parseVolumeId } from "../domain/volume-id.ts";
import type { CommandResult } from "../routeros/client.ts";
import { integer, type Row, text } from "../routeros/reply/row.ts";
import { ros, type Script } from "../routeros/script.ts";
import { anyOf } from "./backing-file.ts";
import { type RdsContext, runChecked } from "./context.ts";
import { CONVERSION_ITEMS, isConversionSlot } from "./conversion-slots.ts";
import { type Disk, FILE_PROPERTIES } from "./disk.ts";
import { bySlot, sortedOut } from "./lookup.ts";
import { readInParts } from "./parted-read.ts";
import type { ForeignDisk, RdsVolume } from "./volume.ts";

/** Everything with a slot like ours, and everything that is mounted. */
export interface Survey {
  readonly volumes: readonly RdsVolume[];
  readonly foreign: readonly ForeignDisk[];
  /** Disk items that are mounted, pools among them. */
  readonly mounted: readonly Disk[];
  /** Arrays, mounted or not, and failed members of arrays. */
  readonly arrays: readonly Disk[];
  /** Items of conversions, which have the record of a volume that may have no item of its own for a while. */
  readonly conversions: readonly Disk[];
}

/** A file of `/file`. */
export interface RdsFile {
  /** Without a leading slash. */
  readonly path: string;
  /** Logical size in bytes; undefined when it is given rounded. */
  readonly sizeBytes: bigint | undefined;
}

/** The items that tell how pools are: those that are mounted, arrays, and members that an array does without. */
export const POOL_ITEMS = ros`mounted or type="raid" or raid-member-failed`;

/** Every disk with a slot of ours, and the items of pools, in slot order. One RouterOS command, or several when there are many. */
export async function surveyAll(context: RdsContext, signal: AbortSignal): Promise<Survey> {
  const listed = await readInParts(context, {
    what: "list volumes and pools",
    coalesceKey: "survey",
    signal,
    where: ros`slot~"^(csi|pvc)-" or ${POOL_ITEMS} or ${CONVERSION_ITEMS}`,
    core: ros`${POOL_ITEMS} or ${CONVERSION_ITEMS} or (slot~"^(csi|pvc)-" and !(type="file"))`,
    files: ros`slot~"^(csi|pvc)-" and type="file"`,
    properties: FILE_PROPERTIES,
  });
  return surveyOf(listed, context.clusterId);
}

/** Sorts disk items into volumes, foreign disks and mounted items. @param clusterId as `classify` takes it */
export function surveyOf(disks: readonly Disk[], clusterId: string | undefined): Survey {
  const others = disks.filter(({ slot }) => parseVolumeId(slot) === undefined).toSorted(bySlot);
  const mounted = others.filter((disk) => disk.mounted);
  const arrays = others.filter(({ type, memberFailed }) => type === "raid" || memberFailed);
  const conversions = others.filter(({ slot }) => isConversionSlot(slot));
  return { ...sortedOut(disks, clusterId), mounted, arrays, conversions };
}

/** The files that meet a condition; the RDS looks through all its filesystems for them. One RouterOS command. */
export async function listFiles(context: RdsContext, where: Script, signal: AbortSignal): Promise<RdsFile[]> {
  const result = await runChecked(context, {
    what: "look for the file of a volume",
    purpose: "read",
    listing: { label: "files", menu: ros`/file`, where, properties: ["name", "size"] },
    body: (rows) => rows,
    signal,
  });
  return filesOf(result);
}

/** The files of a listing of `/file`. */
export function filesOf({ rows }: Pick<CommandResult, "rows">): RdsFile[] {
  return rows.map(fileFromRow);
}

/** A file that has exactly one of these paths. At most one RouterOS command. */
export async function findStray(
  context: RdsContext,
  paths: readonly string[],
  signal: AbortSignal,
): Promise<RdsFile | undefined> {
  if (paths.length === 0) return undefined;
  const found = await listFiles(context, anyOf(paths), signal);
  return found.find(({ path }) => paths.includes(path));
}

function fileFromRow(row: Row): RdsFile {
  return { path: text(row, "name").replace(/^\/+/, ""), sizeBytes: integer(row, "size") };
}
