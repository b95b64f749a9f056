import type { VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { disksOf, type RdsContext, readFailure, runChecked, runRead } from "./context.ts";
import { conversionSlots } from "./conversion-slots.ts";
import { disks } from "./disk.ts";
import { guard, tooMany } from "./parted-read.ts";
import { cutPart, OUR_SLOTS, patternOf, type SlotPart } from "./slot-parts.ts";
import { filesOf, POOL_ITEMS, type RdsFile, type Survey, surveyAll, surveyOf } from "./survey.ts";

/** Volumes, pools, and the files that volumes may have. */
export interface Inspected {
  readonly survey: Survey;
  /** Read before the disk items: an item that is there after its file was found missing was not being deleted meanwhile. */
  readonly files: readonly RdsFile[];
}

/** Most files in one reply. A row has some 130 bytes in JSON; a device without JSON prints twice that. */
const MOST_FILES = 800;

/** One volume, its pool, and every file that bears its name. Two RouterOS commands. */
export async function inspectVolume(
  context: RdsContext,
  id: VolumeId,
  signal: AbortSignal,
): Promise<Inspected> {
  const files = await runChecked(context, {
    what: `look for the file of volume ${id}`,
    purpose: "read",
    listing: fileListing(ros`name~${`/${id}[./]`}`),
    body: (rows) => rows,
    signal,
    coalesceKey: `files:${id}`,
  });
  const { fresh, kept } = conversionSlots(id);
  const listed = await runChecked(context, {
    what: `read volume ${id} and the pools`,
    purpose: "read",
    listing: disks(ros`slot=${id} or slot=${fresh} or slot=${kept} or ${POOL_ITEMS}`),
    body: (rows) => rows,
    signal,
    coalesceKey: `inspect:${id}`,
  });
  return { survey: surveyOf(disksOf(listed), context.clusterId), files: filesOf(files) };
}

/** As `inspectVolume`, of all volumes. Two RouterOS commands, or several when there are many. */
export async function inspectAll(context: RdsContext, signal: AbortSignal): Promise<Inspected> {
  const files = await listFilesOf(context, OUR_SLOTS, signal);
  return { survey: await surveyAll(context, signal), files };
}

/** The image files that bear a slot of ours: `…/SLOT.img` and `…/SLOT/disk.img`. One RouterOS command, or several when there are many. */
export async function listFilesOf(
  context: RdsContext,
  part: SlotPart,
  signal: AbortSignal,
): Promise<RdsFile[]> {
  const what = "look for the files of volumes";
  const pattern = `${patternOf(part).replace(/^\^/, "/")}[^/]*(/disk)?[.]img$`;
  const where = ros`name~${pattern}`;
  const isWhole = cutPart(part, 2).length === 1;
  const check = isWhole ? ros`` : guard(where, MOST_FILES, ros`/file`);
  const outcome = await runRead(context, {
    what,
    listing: fileListing(where),
    body: (rows) => ros`${check}${rows}`,
    signal,
    coalesceKey: `files:${pattern}`,
  });
  if (outcome.ok) return filesOf(outcome);
  const count = tooMany(outcome.failure);
  if (count === undefined) throw readFailure(what, outcome.failure);
  const found: RdsFile[] = [];
  // Parts differ in size, so they are planned smaller than they may be.
  for (const each of cutPart(part, Math.max(2, Math.ceil((count * 1.5) / MOST_FILES))))
    found.push(...(await listFilesOf(context, each, signal)));
  return found;
}

function fileListing(where: Script) {
  return { label: "files", menu: ros`/file`, where, properties: ["name", "size"] };
}
