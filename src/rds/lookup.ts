import { failure } from "../domain/errors/driver-error.ts";
import { attachmentPattern } from "../domain/record/record-codec.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { payload } from "../routeros/envelope.ts";
import { ros } from "../routeros/script.ts";
import type { Purpose } from "../routeros/transport/transport.ts";
import { diskIn, disksOf, onlyDisk, type RdsContext, runChecked } from "./context.ts";
import { conversionSlots } from "./conversion-slots.ts";
import { type Disk, disks, FILE_PROPERTIES } from "./disk.ts";
import { readInParts } from "./parted-read.ts";
import { type Classified, classify, type ForeignDisk, type RdsVolume } from "./volume.ts";

/**
 * Reads one disk by slot. undefined means proven absent: the RDS answered with no row.
 * Costs one RouterOS command.
 * @param lane of a read for an attachment: `attach`
 */
export async function findDisk(
  context: RdsContext,
  id: VolumeId,
  signal: AbortSignal,
  lane: Purpose = "read",
): Promise<Disk | undefined> {
  const result = await runChecked(context, {
    what: `read disk ${id}`,
    purpose: "read",
    lane,
    listing: disks(ros`slot=${id}`),
    body: (rows) => rows,
    signal,
    coalesceKey: `disk:${id}`,
  });
  return diskIn(id, disksOf(result));
}

/** The volume among listed disks; undefined means proven absent. */
export function classifiedAmong(
  { clusterId }: RdsContext,
  id: VolumeId,
  listed: readonly Disk[],
): Classified | undefined {
  const disk = onlyDisk(id, listed);
  return disk === undefined ? undefined : classify(disk, clusterId);
}

/** Reads one volume; undefined means proven absent. @param lane as of `findDisk` */
export async function findClassified(
  context: RdsContext,
  id: VolumeId,
  signal: AbortSignal,
  lane?: Purpose,
): Promise<Classified | undefined> {
  const disk = await findDisk(context, id, signal, lane);
  return disk === undefined ? undefined : classify(disk, context.clusterId);
}

/** Every disk with a slot of ours, in slot order. One RouterOS command, or several when there are many (`readInParts`). */
export async function listAll(
  context: RdsContext,
  signal: AbortSignal,
): Promise<{ volumes: RdsVolume[]; foreign: ForeignDisk[] }> {
  const listed = await readInParts(context, {
    what: "list volumes",
    coalesceKey: "list",
    signal,
    where: ros`slot~"^(csi|pvc)-"`,
    core: ros`slot~"^(csi|pvc)-" and !(type="file")`,
    files: ros`slot~"^(csi|pvc)-" and type="file"`,
    properties: FILE_PROPERTIES,
  });
  return sortedOut(listed, context.clusterId);
}

/** The volumes and the foreign disks among listed ones, in slot order. */
export function sortedOut(
  listed: readonly Disk[],
  clusterId: string | undefined,
): { volumes: RdsVolume[]; foreign: ForeignDisk[] } {
  const ours = listed.toSorted(bySlot).flatMap((disk) => classify(disk, clusterId) ?? []);
  return {
    volumes: ours.flatMap((each) => (each.kind === "volume" ? [each.volume] : [])),
    foreign: ours.flatMap((each) => (each.kind === "foreign" ? [each.foreign] : [])),
  };
}

/**
 * Whether a node is named in the attachments of at least `limit` volumes. One RouterOS command, whose reply is a number; when it reaches the
 * limit, the volumes that seem to be meant are read as well.
 */
export async function hasVolumes(
  context: RdsContext,
  node: string,
  limit: number,
  signal: AbortSignal,
): Promise<boolean> {
  const where = ros`slot~"^(csi|pvc)-" and type="file" and comment~${attachmentPattern(node)}`;
  const what = `count the volumes of node ${node}`;
  const { reply } = await runChecked(context, {
    what,
    purpose: "read",
    // An attach waits for it.
    lane: "attach",
    body: () => payload("count", ros`[:len [/disk/find where ${where}]]`),
    signal,
    coalesceKey: `node:${node}`,
  });
  const count = reply.flat("count")?.trim() ?? "";
  if (!/^\d+$/.test(count)) throw failure("replyUnreadable", { what, detail: "the number is cut off" });
  if (Number(count) < limit) return false;
  const listed = await readInParts(context, {
    ...{ what, coalesceKey: "node", signal, where, files: where, properties: FILE_PROPERTIES },
    core: ros`(${where}) and mounted`,
  });
  const { volumes } = sortedOut(listed, context.clusterId);
  const used = volumes.filter(({ record }) => record.attachments.some((each) => each.node === node));
  return used.length >= limit;
}

/**
 * The items for removing a volume: its own and every mounted item. One RouterOS command.
 * @throws volumeConverting (FAILED_PRECONDITION) when only an item of a conversion has its record
 */
export async function listForRemoval(
  context: RdsContext,
  id: VolumeId,
  signal: AbortSignal,
): Promise<readonly Disk[]> {
  const { fresh, kept } = conversionSlots(id);
  const result = await runChecked(context, {
    what: `read volume ${id} and the pools`,
    purpose: "read",
    // One short condition for all three, as it stands in each DeleteVolume: what else meets it is left out below.
    listing: disks(ros`slot~${`${id}|${fresh.slice(4, 16)}`} or mounted`),
    body: (rows) => rows,
    signal,
    coalesceKey: `removal:${id}`,
  });
  const listed = disksOf(result).filter(({ slot, mounted }) => mounted || [id, fresh, kept].includes(slot));
  const isMoved = listed.some(({ slot }) => slot === fresh || slot === kept);
  if (isMoved && onlyDisk(id, listed) === undefined) throw failure("volumeConverting", { volume: id });
  return listed;
}

/** Orders disks by slot. */
export function bySlot(a: Disk, b: Disk): number {
  return a.slot < b.slot ? -1 : a.slot > b.slot ? 1 : 0;
}

/** Every item of `/disk` in slot order. One RouterOS command, or several when there are many. */
export async function listEverything(context: RdsContext, signal: AbortSignal): Promise<Disk[]> {
  const listed = await readInParts(context, {
    what: "list all disks",
    coalesceKey: "everything",
    signal,
    where: undefined,
    core: ros`!(type="file") or mounted`,
    files: ros`type="file"`,
    properties: FILE_PROPERTIES,
  });
  return listed.toSorted(bySlot);
}
