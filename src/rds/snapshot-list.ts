import type { VolumeId } from "../domain/volume-id.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros, type Script } from "../routeros/script.ts";
import { type RdsContext, readFailure, runRead } from "./context.ts";
import { guard, REPLY_BYTES, tooMany } from "./parted-read.ts";
import { ALL_SNAPSHOTS, cutPart, patternOf, type SlotPart } from "./slot-parts.ts";
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
  const found = await readParts(context, filter, signal, [ALL_SNAPSHOTS]);
  return found.filter(({ dead }) => !dead);
}

async function readParts(
  context: RdsContext,
  filter: SnapshotFilter,
  signal: AbortSignal,
  parts: readonly SlotPart[],
): Promise<Subvolume[]> {
  const most = Math.floor(REPLY_BYTES / ROW_BYTES);
  const found: Subvolume[] = [];
  for (const part of parts) {
    const isWhole = cutPart(part, 2).length === 1;
    const rows = await readPart(context, conditionOf(part, filter), isWhole ? undefined : most, signal);
    if (typeof rows !== "number") found.push(...rows);
    else {
      // Parts differ in size, so they are planned smaller than they may be.
      const smaller = cutPart(part, Math.max(2, Math.ceil((rows * 1.5) / most)));
      found.push(...(await readParts(context, filter, signal, smaller)));
    }
  }
  return found;
}

function conditionOf(part: SlotPart, { source }: SnapshotFilter): Script {
  const rest = source === undefined ? "" : `[0-9a-f]*[.]1[.]${escapeRegex(source)}[.]`;
  return ros`fullname~${patternOf(part) + rest}`;
}

/** The rows, or their number when there are more than `most`. */
async function readPart(
  context: RdsContext,
  where: Script,
  most: number | undefined,
  signal: AbortSignal,
): Promise<readonly Subvolume[] | number> {
  const what = "list snapshots";
  const menu = ros`/disk/btrfs/subvolume`;
  const outcome = await runRead(context, {
    what,
    listing: subvolumes(where),
    body: (rows) => (most === undefined ? rows : ros`${guard(where, most, menu)}${rows}`),
    signal,
    coalesceKey: `snapshots:${where.render("")}`,
  });
  if (outcome.ok) return outcome.rows.map(subvolumeFromRow);
  const count = tooMany(outcome.failure);
  if (count === undefined) throw readFailure(what, outcome.failure);
  return count;
}
