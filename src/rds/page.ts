import { ros } from "../routeros/script.ts";
import { disksOf, type RdsContext, runChecked } from "./context.ts";
import { isCopyTarget } from "./copy.ts";
import { type Disk, disks, FILE_PROPERTIES } from "./disk.ts";
import { sortedOut } from "./lookup.ts";
import { briefLimit, isRows, readPart } from "./parted-read.ts";
import { cutPart, isBefore, ORDERED_SLOTS, patternOf, type SlotPart } from "./slot-parts.ts";
import { POOL_ITEMS, type Survey, surveyOf } from "./survey.ts";
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

/** The items of pools beside the volumes of a page. */
export type PoolItems = Pick<Survey, "mounted" | "arrays">;

/** Makes an entry of a volume. */
export type EntryOf<T> = (volume: RdsVolume, pools: PoolItems) => T;

/**
 * Reads volumes in slot order, until the page is full, and the items of pools: two commands while there are few volumes, else one to
 * count, one for the pools, and one for each part of some hundred volumes. The memory that it takes is that of one part and of the entries, whatever is
 * on the device. A volume that exists the whole time, and belongs onto the page, is on it once.
 */
export async function readPage<T>(
  context: RdsContext,
  { after, most, signal }: PageRead,
  entry: EntryOf<T>,
): Promise<VolumePage<T>> {
  const entries: T[] = [];
  const listing = disks(POOL_ITEMS);
  const items = { what: "read the pools", purpose: "read", listing, signal, coalesceKey: "pools" } as const;
  const readPools = async (): Promise<PoolItems> =>
    surveyOf(disksOf(await runChecked(context, { ...items, body: (rows) => rows })), context.clusterId);
  /** @returns whether the page is full, with one volume left over */
  const take = (disks: readonly Disk[], pools: PoolItems): boolean => {
    const { volumes } = sortedOut(disks, context.clusterId);
    for (const volume of volumes) {
      // One that is being copied is no volume yet.
      if (volume.id <= after || isCopyTarget(volume)) continue;
      if (most > 0 && entries.length === most) return true;
      entries.push(entry(volume, pools));
    }
    return false;
  };
  const read = { what: "list volumes", coalesceKey: "page", signal };
  const properties = FILE_PROPERTIES;
  const part = async (pattern: string, isLast: boolean) => {
    const where = ros`slot~${pattern} and type="file"`;
    const limit = isLast ? undefined : briefLimit(context, { properties });
    return readPart(context, read, { where, properties, limit });
  };
  const readParts = async (
    prefix: string,
    whole: SlotPart,
    count: number,
    pools: PoolItems,
  ): Promise<boolean> => {
    // Parts differ in size, so they are planned smaller than they may be.
    const parts = Math.ceil((count * 1.5) / briefLimit(context, { properties }));
    for (const each of cutPart(whole, Math.max(2, parts))) {
      if (isBefore(prefix, each, after)) continue;
      const rows = await part(patternOf(each), cutPart(each, 2).length === 1);
      const isFull = isRows(rows) ? take(rows, pools) : await readParts(prefix, each, rows.count, pools);
      if (isFull) return true;
    }
    return false;
  };
  // Flags of pools cannot be asked for beside chosen properties of volumes: see `briefForm`.
  const pools = await readPools();
  const all = await part("^(csi|pvc)-", false);
  if (isRows(all)) return { entries, isCut: take(all, pools) };
  for (const { prefix, part: whole } of ORDERED_SLOTS) {
    if (after.startsWith("pvc-") && prefix === "csi-") continue;
    const rows = await part(patternOf(whole), false);
    const isFull = isRows(rows) ? take(rows, pools) : await readParts(prefix, whole, rows.count, pools);
    if (isFull) return { entries, isCut: true };
  }
  return { entries, isCut: false };
}
