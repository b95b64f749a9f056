import { failure } from "../domain/errors/driver-error.ts";
import { SLOT_PREFIX, type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { Reply } from "../routeros/envelope.ts";
import { escapeRegex } from "../routeros/quote.ts";
import { ros, type Script } from "../routeros/script.ts";
import { filesAmong } from "./backing-file.ts";
import { type RdsContext, runChecked } from "./context.ts";
import { type Disk, FILE_PROPERTIES } from "./disk.ts";
import type { Layout } from "./layout.ts";
import { type PartedRead, readInParts, readWithAnswer } from "./parted-read.ts";
import { type Place, pathsOnPools, placesFor } from "./place.ts";

/** Those of some paths that are files, and disks. */
interface Look {
  readonly there: ReadonlySet<string>;
  readonly listed: readonly Disk[];
}

const whatFor = (id: VolumeId): string => `look for the file of volume ${id}`;

/**
 * The file that an interrupted delete or create left of a volume whose item is gone: the one with exactly the path of
 * the volume's file on a pool that this installation uses. Elsewhere only files of that very path are looked for, and
 * none is taken for ours. One RouterOS command, whose reply has few disks (`decidingDisks`); several when that says too little.
 * @param mounted the items of `/disk` that were mounted a moment ago
 * @returns undefined if it is proven absent, `changed` if the RDS is not as it was looked at
 * @throws filePoolNotMounted (UNAVAILABLE) while a pool is away that may hold it; fileNotProven (FAILED_PRECONDITION)
 *   when there is a file that may as well be a copy
 */
export async function findLeftover(
  context: RdsContext,
  id: VolumeId,
  layout: Layout,
  mounted: readonly Disk[],
  signal: AbortSignal,
): Promise<Place | "changed" | undefined> {
  const asked = pathsOnPools(mounted, id, layout.directory);
  const placed = (look: Look) => ({
    ...look,
    ...placesFor(look.listed, id, layout, context.clusterId ?? ""),
  });
  const few = await fewDisks(context, { what: whatFor(id), id }, layout, mounted, signal);
  let found = few === undefined ? undefined : placed(few);
  // Only all disks say whose a file on another pool is.
  if (found === undefined || found.others.some(({ path }) => found?.there.has(path))) {
    const all = await filesAndDisks(context, asked, {
      what: whatFor(id),
      coalesceKey: `leftover:${id}`,
      signal,
      ...everyPlace(layout),
    });
    found = placed(all);
  }
  const { there, listed, ours, others, away } = found;
  const [missing] = away;
  if (missing !== undefined) throw failure("filePoolNotMounted", { volume: id, pool: missing });
  const unasked = [...ours, ...others].some(({ path }) => !asked.includes(path));
  if (unasked || listed.some(({ slot }) => slot === id)) return "changed";
  // Without its record, the file of an adopted volume is not proven ours.
  const adopted = !id.startsWith(SLOT_PREFIX);
  const left = ours.filter(({ path }) => there.has(path));
  const [only, second] = left;
  if (only !== undefined && second === undefined && !adopted) return only;
  const unclear = [...left, ...others.filter(({ path }) => there.has(path))].map(({ path }) => path);
  if (unclear.length > 0) throw failure("fileNotProven", { volume: id, files: unclear });
  return undefined;
}

/**
 * As `filesAndDisks`, with the disks of `decidingDisks` only. One RouterOS command.
 * @returns undefined when all disks must be read: no pool is mounted, the mounts are not those of the condition, or there are too many
 */
async function fewDisks(
  context: RdsContext,
  { what, id }: { readonly what: string; readonly id: VolumeId },
  layout: Layout,
  mounted: readonly Disk[],
  signal: AbortSignal,
): Promise<Look | undefined> {
  const paths = pathsOnPools(mounted, id, layout.directory);
  const where = paths.length === 0 ? undefined : decidingDisks(id, layout, mounted);
  if (where === undefined) return undefined;
  const few = await readWithAnswer(context, { what, where, signal }, filesAmong(paths));
  if (few === undefined || mountsOf(few.disks) !== mountsOf(mounted)) return undefined;
  return { there: filesIn(few.reply, what), listed: few.disks };
}

/**
 * The pools of this installation, by slot or mount point, that are not mounted, or whose folder of volumes cannot be looked into. A pool counts
 * if it is the default pool or has a volume. One RouterOS command, or several when mounts are nested.
 * @param mounted the items of `/disk` that were mounted a moment ago
 */
export async function awayPools(
  context: RdsContext,
  layout: Layout,
  mounted: readonly Disk[],
  signal: AbortSignal,
): Promise<readonly string[]> {
  const what = "look for pools that are not mounted";
  const id = volumeIdFromName("");
  const few = await fewDisks(context, { what, id }, layout, mounted, signal);
  const all = { ...everyPlace(layout), what, coalesceKey: "away", signal };
  return placesFor(few?.listed ?? (await readInParts(context, all)), id, layout, context.clusterId ?? "")
    .away;
}

/** The disks that say which pools this installation uses, and where each of its volumes is. */
function everyPlace(layout: Layout): Pick<PartedRead, "where" | "core" | "files" | "properties"> {
  return {
    where: ros`slot=${layout.pool} or slot~"^(csi|pvc)-" or mounted`,
    core: ros`slot=${layout.pool} or mounted or (slot~"^(csi|pvc)-" and !(type="file"))`,
    files: ros`slot~"^(csi|pvc)-" and type="file"`,
    properties: FILE_PROPERTIES,
  };
}

/**
 * Condition of the disks that say where a leftover may be, if its file is on the default pool or nowhere: mounted disks, the volume's own,
 * and volumes that are not in the folder of the volumes on a mounted pool. The others are proven to be on mounted pools.
 * @returns undefined when a mount may hide such a folder: one below another one, or that of a file disk
 */
function decidingDisks(
  id: VolumeId,
  { pool, directory }: Layout,
  mounted: readonly Disk[],
): Script | undefined {
  const points = mounted.flatMap(({ mountPoint }) => (mountPoint === "" ? [] : [mountPoint]));
  const isNested = points.some((upper) => points.some((lower) => lower.startsWith(`${upper}/`)));
  if (isNested || mounted.some(({ type }) => type === "file")) return undefined;
  const usual = `^/?(${points.map(escapeRegex).join("|")})/${escapeRegex(directory)}/[^/]+(/disk[.]img)?$`;
  return ros`slot=${pool} or slot=${id} or mounted or (slot~"^(csi|pvc)-" and type="file" and !(file-path~${usual}))`;
}

/** The mounted disks with their mount points, as one text. */
function mountsOf(disks: readonly Disk[]): string {
  return disks
    .flatMap(({ slot, mounted, mountPoint }) => (mounted ? [`${slot}=${mountPoint}`] : []))
    .toSorted()
    .join();
}

/**
 * Those of the paths that are files, and the listed disks as they are after that look: a pool that is mounted then was
 * mounted during the look.
 */
async function filesAndDisks(context: RdsContext, paths: readonly string[], read: PartedRead): Promise<Look> {
  const { what, signal } = read;
  if (paths.length === 0) return { there: new Set(), listed: await readInParts(context, read) };
  const few = await readWithAnswer(context, read, filesAmong(paths));
  const reply =
    few?.reply ??
    (await runChecked(context, { what, purpose: "read", body: () => filesAmong(paths), signal })).reply;
  return { there: filesIn(reply, what), listed: few?.disks ?? (await readInParts(context, read)) };
}

/** The paths that `filesAmong` put. @throws replyUnreadable */
function filesIn(reply: Reply, what: string): ReadonlySet<string> {
  const payload = reply.flat("files");
  if (payload === undefined)
    throw failure("replyUnreadable", { what, detail: "the list of files is cut off" });
  return new Set(payload.split("|").map((path) => path.trim().replace(/^\/+/, "")));
}
