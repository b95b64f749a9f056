import { ros } from "../routeros/script.ts";
import type { RdsContext } from "./context.ts";
import { type Disk, LISTED_PROPERTIES } from "./disk.ts";
import { sortedOut } from "./lookup.ts";
import { briefLimit, isRows, readPart } from "./parted-read.ts";
import { cutPart, isBefore, ORDERED_SLOTS, patternOf, type SlotPart } from "./slot-parts.ts";
import type { RdsVolume } from "./volume.ts";

/** Which volumes a page holds. */
export interface PageRead {
  /** Volumes with a larger slot only; "" is all. */
  readonly after: string;
  /** Most entries; 0: no limit. */
  readonly most: number;
  readonly signal: AbortSignal;
}

/** Volumes in slot order. */
export interface VolumePage<T> {
  readonly entries: readonly T[];
  /** Whether there are more volumes behind the last entry. */
  readonly isCut: boolean;
}

/**
 * Reads volumes in slot order, until the page is full: one command while there are few, else one to count, and one for each part of
 * some hundred volumes. The memory that it takes is that of one part and of the entries, whatever is on the device. A volume that exists the
 * whole time, and belongs onto the page, is on it once. Export and mount properties are not read.
 * @param entry makes an entry of a volume
 */
export async function readPage<T>(
  context: RdsContext,
  { after, most, signal }: PageRead,
  entry: (volume: RdsVolume) => T,
): Promise<VolumePage<T>> {
  const entries: T[] = [];
  /** @returns whether the page is full, with one volume left over */
  const take = (disks: readonly Disk[]): boolean => {
    const { volumes } = sortedOut(disks, context.clusterId);
    for (const volume of volumes) {
      if (volume.id <= after) continue;
      if (most > 0 && entries.length === most) return true;
      entries.push(entry(volume));
    }
    return false;
  };
  const read = { what: "list volumes", coalesceKey: "page", signal };
  const properties = LISTED_PROPERTIES;
  const part = async (pattern: string, isLast: boolean) => {
    const where = ros`slot~${pattern} and type="file"`;
    const limit = isLast ? undefined : briefLimit(context, { properties });
    return readPart(context, read, { where, properties, limit });
  };
  const readParts = async (prefix: string, whole: SlotPart, count: number): Promise<boolean> => {
    // Parts differ in size, so they are planned smaller than they may be.
    const parts = Math.ceil((count * 1.5) / briefLimit(context, { properties }));
    for (const each of cutPart(whole, Math.max(2, parts))) {
      if (isBefore(prefix, each, after)) continue;
      const rows = await part(patternOf(each), cutPart(each, 2).length === 1);
      const isFull = isRows(rows) ? take(rows) : await readParts(prefix, each, rows.count);
      if (isFull) return true;
    }
    return false;
  };
  const all = await part("^(csi|pvc)-", false);
  if (isRows(all)) return { entries, isCut: take(all) };
  for (const { prefix, part: whole } of ORDERED_SLOTS) {
    if (after.startsWith("pvc-") && prefix === "csi-") continue;
    const rows = await part(patternOf(whole), false);
    const isFull = isRows(rows) ? take(rows) : await readParts(prefix, whole, rows.count);
    if (isFull) return { entries, isCut: true };
  }
  return { entries, isCut: false };
}
