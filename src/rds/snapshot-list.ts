import type { VolumeId } from "../domain/volume-id.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros } from "../routeros/script.ts";
import { type RdsContext, readFailure, runRead } from "./context.ts";
import { guard, REPLY_BYTES, tooMany } from "./parted-read.ts";
import { ALL_SNAPSHOTS, cutPart, patternOf, type SlotPart, VOLUME_SUBVOLUMES } from "./slot-parts.ts";
import { type Subvolume, subvolumeFromRow, subvolumes } from "./subvolume.ts";

/** Which snapshots are listed. */
export interface SnapshotFilter {
  /** Of this volume only. */
  readonly source?: VolumeId | undefined;
}

/** A row of a subvolume with the name of a snapshot, in bytes. `proplist` may hide flags, so the rows are whole. */
const ROW_BYTES = 800;

/**
 * The subvolumes that have the form of our snapshots, of any installation. One RouterOS command while they are few, else one to count, and one for
 * each few hundred. One that exists the whole time is listed once; one that is made or removed meanwhile may be listed or not.
 */
export async function listSnapshots(
  context: RdsContext,
  filter: SnapshotFilter,
  signal: AbortSignal,
): Promise<Subvolume[]> {
  const rest = filter.source === undefined ? "" : `[0-9a-f]*[.]1[.]${escapeRegex(filter.source)}[.]`;
  return listParts(context, { what: "list snapshots", part: ALL_SNAPSHOTS, rest }, signal);
}

/** The subvolumes whose last component has the form of a volume's slot, of any installation and in any folder. RouterOS commands as of `listSnapshots`. */
export async function listVolumeSubvolumes(context: RdsContext, signal: AbortSignal): Promise<Subvolume[]> {
  const wanted = { what: "list the subvolumes of volumes", part: VOLUME_SUBVOLUMES, rest: "[0-9a-f-]*$" };
  return listParts(context, wanted, signal);
}

/** Names that begin as a part says, and go on as `rest` says. */
interface Wanted {
  readonly what: string;
  readonly part: SlotPart;
  /** Regular expression. */
  readonly rest: string;
}

async function listParts(context: RdsContext, wanted: Wanted, signal: AbortSignal): Promise<Subvolume[]> {
  const found = await readParts(context, wanted, signal, [wanted.part]);
  return found.filter(({ dead }) => !dead);
}

async function readParts(
  context: RdsContext,
  wanted: Wanted,
  signal: AbortSignal,
  parts: readonly SlotPart[],
): Promise<Subvolume[]> {
  const most = Math.floor(REPLY_BYTES / ROW_BYTES);
  const found: Subvolume[] = [];
  for (const part of parts) {
    const isWhole = cutPart(part, 2).length === 1;
    const rows = await readPart(context, { ...wanted, part }, isWhole ? undefined : most, signal);
    if (typeof rows !== "number") found.push(...rows);
    else {
      // Parts differ in size, so they are planned smaller than they may be.
      const smaller = cutPart(part, Math.max(2, Math.ceil((rows * 1.5) / most)));
      found.push(...(await readParts(context, wanted, signal, smaller)));
    }
  }
  return found;
}

/** The rows, or their number when there are more than `most`. */
async function readPart(
  context: RdsContext,
  { what, part, rest }: Wanted,
  most: number | undefined,
  signal: AbortSignal,
): Promise<readonly Subvolume[] | number> {
  const where = ros`fullname~${patternOf(part) + rest}`;
  const menu = ros`/disk/btrfs/subvolume`;
  const outcome = await runRead(context, {
    what,
    listing: subvolumes(where),
    body: (rows) => (most === undefined ? rows : ros`${guard(where, most, menu)}${rows}`),
    signal,
    coalesceKey: `subvolumes:${where.render("")}`,
  });
  if (outcome.ok) return outcome.rows.map(subvolumeFromRow);
  const count = tooMany(outcome.failure);
  if (count === undefined) throw readFailure(what, outcome.failure);
  return count;
}
