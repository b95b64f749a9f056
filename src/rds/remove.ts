import { failure } from "../domain/errors/driver-error.ts";
import { SLOT_PREFIX, type VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { filesAmong, removedFile, requireMounted } from "./backing-file.ts";
import { commandFailure, type RdsContext, runChecked } from "./context.ts";
import { type Disk, FILE_PROPERTIES } from "./disk.ts";
import type { Layout } from "./layout.ts";
import { type PartedRead, readInParts, readWithAnswer } from "./parted-read.ts";
import { type Place, pathsOnPools, placesFor } from "./place.ts";
import type { RdsVolume } from "./volume.ts";

/** `changed`: the RDS is not as it was looked at, so nothing was removed. */
export type RemoveResult = "removed" | "changed";

/**
 * Removes a volume: export off, item, file; in this order, in one RouterOS command that acts only on the item
 * whose comment is still the one that was read, and only while its pool is mounted. Each step that was done before is
 * skipped, so an interrupted call is finished by the next.
 * @throws filePoolNotMounted (UNAVAILABLE), foreignDisk (FAILED_PRECONDITION), notVerified (UNAVAILABLE)
 */
export async function removeVolume(
  context: RdsContext,
  { id, disk }: RdsVolume,
  place: Place,
  signal: AbortSignal,
): Promise<RemoveResult> {
  // Each command finds the item in its own argument: one that was attached meanwhile has another record.
  const mine = ros`[/disk/find where slot=${id} and comment=${disk.comment} and type="file"]`;
  const item = ros`${requireMounted(place.pool)}; /disk/set ${mine} nvme-tcp-export=no; /disk/remove ${mine}`;
  return remove(context, id, place, item, signal);
}

/**
 * Removes the file of a volume whose item is gone, from exactly one place. One RouterOS command.
 * @throws as removeVolume
 */
export async function removeFile(
  context: RdsContext,
  id: VolumeId,
  place: Place,
  signal: AbortSignal,
): Promise<RemoveResult> {
  return remove(context, id, place, requireMounted(place.pool), signal);
}

/**
 * The file that an interrupted delete or create left of a volume whose item is gone: the one with exactly the path of
 * the volume's file on a pool that this installation uses. Elsewhere only files of that very path are looked for, and
 * none is taken for ours. One RouterOS command, or several when there are many disks.
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
  const what = `look for the file of volume ${id}`;
  const asked = pathsOnPools(mounted, id, layout.directory);
  const { there, listed } = await filesAndDisks(context, asked, {
    what,
    coalesceKey: `leftover:${id}`,
    signal,
    where: ros`slot=${layout.pool} or slot~"^(csi|pvc)-" or mounted`,
    core: ros`slot=${layout.pool} or mounted or (slot~"^(csi|pvc)-" and !(type="file"))`,
    files: ros`slot~"^(csi|pvc)-" and type="file"`,
    properties: FILE_PROPERTIES,
  });
  const { ours, others, away } = placesFor(listed, id, layout, context.clusterId ?? "");
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
 * Those of the paths that are files, and the listed disks as they are after that look: a pool that is mounted then was
 * mounted during the look.
 */
async function filesAndDisks(
  context: RdsContext,
  paths: readonly string[],
  read: PartedRead,
): Promise<{ readonly there: ReadonlySet<string>; readonly listed: readonly Disk[] }> {
  const { what, signal } = read;
  if (paths.length === 0) return { there: new Set(), listed: await readInParts(context, read) };
  const few = await readWithAnswer(context, read, filesAmong(paths));
  const reply =
    few?.reply ??
    (await runChecked(context, { what, purpose: "read", body: () => filesAmong(paths), signal })).reply;
  const payload = reply.flat("files");
  if (payload === undefined)
    throw failure("replyUnreadable", { what, detail: "the list of files is cut off" });
  const there = new Set(payload.split("|").map((path) => path.trim().replace(/^\/+/, "")));
  return { there, listed: few?.disks ?? (await readInParts(context, read)) };
}

/** Removes the item and the file that a failed create left. @throws notVerified (UNAVAILABLE) if something stays */
export async function removeUnfinished(
  context: RdsContext,
  id: VolumeId,
  place: Place,
  volume: RdsVolume | undefined,
  signal: AbortSignal,
): Promise<void> {
  const result =
    volume === undefined
      ? await removeFile(context, id, place, signal)
      : await removeVolume(context, volume, place, signal);
  if (result === "changed") {
    throw failure("notVerified", {
      what: `removing the unfinished volume ${id}`,
      detail: "it was changed meanwhile",
    });
  }
}

async function remove(
  context: RdsContext,
  id: VolumeId,
  { pool, path }: Place,
  first: Script,
  signal: AbortSignal,
): Promise<RemoveResult> {
  const what = `delete volume ${id}`;
  const gone = ros`:if ([:len [/disk/find where slot=${id}]] > 0) do={ :error "rds-csi:changed" }`;
  const body = ros`${first}; ${gone}; ${removedFile(pool, path)}`;
  const outcome = await context.client.run({
    what,
    purpose: "change",
    orderKey: id,
    body: () => body,
    signal,
  });
  if (!outcome.ok) {
    const { reason } = outcome.failure;
    if (reason === "changed") return "changed";
    if (reason === "pool-not-mounted") throw failure("filePoolNotMounted", { volume: id, pool });
    if (reason === "file-in-use") {
      throw failure("foreignDisk", { slot: id, reason: "its file is used by another disk item of the RDS" });
    }
    throw commandFailure(what, outcome.failure);
  }
  const left = outcome.reply.flat("left")?.trim();
  if (left !== "0")
    throw failure("notVerified", {
      what: `deleting the file of volume ${id}`,
      detail: `${left ?? "?"} left`,
    });
  return "removed";
}
