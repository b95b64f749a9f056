import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { CopyState, VolumeRecord } from "../domain/record/volume-record.ts";
import { shortSize } from "../domain/size.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { printed } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";
import { changeDisk, commandFailure, disksOf, type RdsContext, randomNonce, runChecked } from "./context.ts";
import { type Disk, disks, FILE_PROPERTIES } from "./disk.ts";
import { classifiedAmong } from "./lookup.ts";
import { pollDisk } from "./poll.ts";
import { type Classified, type RdsVolume, writtenVolume } from "./volume.ts";

/** A volume with an unfinished copy in it. Its item may have another slot than its own. */
export interface CopyTarget extends RdsVolume {
  readonly record: VolumeRecord & { readonly copy: CopyState };
}

/** Whether a volume is unfinished: a copy fills it. */
export function isCopyTarget(volume: RdsVolume): volume is CopyTarget {
  return volume.record.copy !== undefined;
}

/** Why no call may use a volume now; undefined: it is finished. @returns volumeUnfinished, volumeConverting (FAILED_PRECONDITION) */
export function unfinished({ id, record: { copy, conversion } }: RdsVolume): DriverError | undefined {
  if (conversion !== undefined) return failure("volumeConverting", { volume: id });
  return copy && failure("volumeUnfinished", { volume: id, progress: copyProgress(copy) });
}

/** For a call that uses a volume. @throws the error of `unfinished` */
export function requireFinished(volume: RdsVolume): void {
  const error = unfinished(volume);
  if (error !== undefined) throw error;
}

/** Both ends of a copy, read by one command. undefined: proven absent. */
export interface CopyEnds {
  readonly target: Classified | undefined;
  readonly source: Classified | undefined;
}

/** Reads both ends of a copy. One RouterOS command. */
export async function readEnds(
  context: RdsContext,
  target: VolumeId,
  source: VolumeId,
  signal: AbortSignal,
): Promise<CopyEnds> {
  const listed = await runChecked(context, {
    what: `read volumes ${target} and ${source}`,
    purpose: "read",
    listing: disks(ros`slot=${target} or slot=${source}`, FILE_PROPERTIES),
    body: (rows) => rows,
    signal,
    coalesceKey: `copy:${target}:${source}`,
  });
  const found = disksOf(listed);
  return {
    target: classifiedAmong(context, target, found),
    source: classifiedAmong(context, source, found),
  };
}

/** Why a volume cannot be copied now; undefined: it can. Its data stays as it is while it is not exported. */
export function problemOfSource({ record, disk }: RdsVolume): string | undefined {
  const nodes = record.attachments.map(({ node }) => node);
  if (nodes.length > 0) return `it is attached to ${nodes.join(" and ")}`;
  return disk.exported ? "it is exported, although it is attached to no node" : undefined;
}

/** Whether a volume holds what it held when the copy began: it is the same one, and was attached to no node since. */
export function isStillSource({ copy }: CopyTarget["record"], { record, disk }: RdsVolume): boolean {
  const isSame = record.createdAt === copy.sourceCreatedAt && record.epoch === copy.sourceEpoch;
  return isSame && disk.size !== undefined && disk.size >= copy.total;
}

/** The state of a copy that has not begun. */
export function newCopy(
  { nonce = randomNonce }: Pick<RdsContext, "nonce">,
  { record, disk }: RdsVolume,
): CopyState {
  return {
    done: 0n,
    total: disk.size ?? 0n,
    sourceCreatedAt: record.createdAt,
    sourceEpoch: record.epoch,
    line: nonce(),
    isBusy: false,
  };
}

/** How far a copy is, as messages say it. */
export function copyProgress({ done, total }: Pick<CopyState, "done" | "total">): string {
  return `${(done * 100n) / total} % of ${shortSize(total)}`;
}

/** One part of a copy. */
export interface ChunkSpec {
  /** As read: no line copies into it. */
  readonly target: CopyTarget;
  /** As read. */
  readonly source: RdsVolume;
  /** Bytes from the beginning that are proven to be copied; the part begins there. */
  readonly done: bigint;
  /** Bytes. */
  readonly size: bigint;
  readonly signal: AbortSignal;
}

/** `changed`: an end is not as it was read, and nothing counts as copied. */
export type ChunkResult =
  | { readonly kind: "copied"; readonly target: CopyTarget }
  | { readonly kind: "changed" };

/**
 * Copies one part by one RouterOS command. The record of the target names the line before it copies, so that no second line copies into it, and
 * is free again when the line ends. The source must be the one that was read, not exported, before and behind the copying. What was copied
 * counts when a later record says so: only the reply proves it.
 * @throws copyNotConfirmed (FAILED_PRECONDITION) when the device does not say that the part is copied; rdsBusy, and the link's failures:
 *   then the record may name a line
 */
export async function copyChunk(context: RdsContext, spec: ChunkSpec): Promise<ChunkResult> {
  const { target, source, done, size, signal } = spec;
  const { id } = target;
  const { slot } = target.disk;
  const what = `copy ${size} bytes at ${done} of volume ${source.id} into volume ${id}`;
  const { running, free, copy } = commentsOf(context, target, done);
  const outcome = await context.client.run({
    what,
    purpose: "change",
    lane: "copy",
    orderKey: id,
    priority: "background",
    listing: disks(ros`slot=${slot}`, FILE_PROPERTIES),
    body: (rows) => ros`${chunkScript(spec, running, free)}; ${rows}`,
    signal,
  });
  if (!outcome.ok) return chunkFailed(what, outcome.failure);
  const disk = disksOf(outcome).find((each) => each.slot === slot);
  if (disk?.comment !== free) return { kind: "changed" };
  requireConfirmed(id, outcome.reply.flat("copied"), size);
  return { kind: "copied", target: { id, disk, record: { ...target.record, copy } } };
}

function chunkFailed(what: string, error: CommandFailure): ChunkResult {
  // One that is looked up in the argument of the copy itself may have gone since the look before it.
  if (error.reason === "changed" || error.kind === "absent") return { kind: "changed" };
  throw commandFailure(what, error);
}

/** The records of a target while a line copies, and behind it. */
function commentsOf(
  context: RdsContext,
  { id, record }: CopyTarget,
  done: bigint,
): { readonly running: string; readonly free: string; readonly copy: CopyState } {
  const line = (context.nonce ?? randomNonce)();
  const of = (copy: CopyState) => encodeChecked(id, { ...record, copy });
  const copy = { ...record.copy, done, line, isBusy: false };
  return { running: of({ ...copy, isBusy: true }), free: of(copy), copy };
}

/**
 * Each command finds its items in its own argument, by slot and comment: a line that runs late finds nothing, as the record is another one by
 * then. When the copying fails the record is free again, and `$f` says why.
 */
function chunkScript({ target, source, done, size }: ChunkSpec, running: string, free: string): Script {
  const { slot } = target.disk;
  const from = ros`/disk/find where slot=${source.id} and comment=$source and nvme-tcp-export=no`;
  const to = ros`/disk/find where slot=${slot} and comment=$running`;
  const sameSource = ros`:if ([:len [${from}]] != 1) do={ :error "rds-csi:changed" }`;
  const begin = ros`/disk/set [/disk/find where slot=${slot} and comment=${target.disk.comment}] comment=$running; :if ([:len [${to}]] != 1) do={ :error "rds-csi:changed" }`;
  const end = ros`/disk/set [${to}] comment=$free`;
  const copy = printed(
    "copied",
    ros`/disk/copy src=[${from}] dst=[${to}] src-offset=${done} dst-offset=${done} size=${size}`,
  );
  return ros`:local source ${source.disk.comment}; :local running ${running}; :local free ${free}; ${sameSource}; ${begin}; :onerror f in={ ${copy}; ${sameSource} } do={ ${end}; :error $f }; ${end}`;
}

/**
 * A device that copies in the background would say nothing, or no end.
 * @throws copyNotConfirmed
 */
function requireConfirmed(id: VolumeId, text: string | undefined, size: bigint): void {
  const last = [...(text ?? "").matchAll(/\((\d+) ?%\)/g)].at(-1);
  if (last?.[1] === "100") return;
  const said = last === undefined ? "nothing" : `${last[1]} %`;
  const detail = `the RDS was to copy ${size} bytes, and said ${said}`;
  throw failure("copyNotConfirmed", { volume: id, detail });
}

/**
 * Frees a target that names a line which is over, or is given up. One RouterOS command, and more until the size shows.
 * @returns undefined when the target is not as it was read
 * @throws as `remake`
 */
export async function freeTarget(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<CopyTarget | undefined> {
  const { id, record } = target;
  const line = (context.nonce ?? randomNonce)();
  const free = { ...record, copy: { ...record.copy, line, isBusy: false } };
  const disk = await remake(context, target, free, `free the unfinished volume ${id}`, signal);
  return disk && { id, disk, record: free };
}

/**
 * Makes a target whose bytes are all copied a volume. One RouterOS command, and more until the size shows.
 * @returns undefined when the target is not as it was read
 * @throws as `remake`
 */
export async function finishCopy(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<RdsVolume | undefined> {
  const { id, record } = target;
  const what = `finish the copied volume ${id}`;
  const disk = await remake(context, target, { ...record, copy: undefined }, what, signal);
  return disk && writtenVolume(disk, context.clusterId, what);
}

/**
 * Notes that all bytes of a conversion are copied, by the one who saw it. It shows, before the volume's own item is touched, that the device makes an
 * item on a file that is there, and keeps the file.
 * @returns whether the target was as it was read
 * @throws as `remake`
 */
export async function noteCopied(
  context: RdsContext,
  target: CopyTarget,
  signal: AbortSignal,
): Promise<boolean> {
  const { id, record } = target;
  const whole = { ...record, copy: undefined, conversion: "switch" } as const;
  const what = `note that volume ${id} is copied into a subvolume`;
  return (await remake(context, target, whole, what, signal)) !== undefined;
}

/**
 * Makes the item of a target anew on the same file, with another record. A line that still waits has looked up the old item at most, and finds
 * it gone: so it neither copies into what the file holds from now on, nor changes the record. If the device stops between the two, the file is
 * left without an item, and the copy begins anew.
 * @returns undefined when the target is not as it was read
 * @throws rdsBusy while the device copies into it; notVerified, and the link's failures
 */
async function remake(
  context: RdsContext,
  { id, disk }: CopyTarget,
  record: VolumeRecord,
  what: string,
  signal: AbortSignal,
): Promise<Disk | undefined> {
  // Not that of the volume while it is converted.
  const slot = disk.slot as VolumeId;
  const next = encodeChecked(id, record);
  const old = ros`/disk/find where slot=${slot} and comment=$old`;
  const isThere = fileIsThere(disk.filePath);
  const made = addItem(slot, disk.filePath, ros`$next`);
  const script = ros`:local old ${disk.comment}; :local next ${next}; :if ([:len [${old}]] != 1 || !(${isThere})) do={ :error "rds-csi:changed" }; /disk/remove [${old}]; :if ([:len [/disk/find where slot=${slot}]] = 0 && ${isThere}) do={ ${made} }`;
  const outcome = await changeDisk(context, what, "change", slot, script, signal);
  if (!outcome.ok) {
    if (outcome.failure.reason === "changed") return undefined;
    throw commandFailure(what, outcome.failure);
  }
  const isReady = (found: typeof outcome.disk) => found?.comment !== next || found.size !== undefined;
  const now = await pollDisk(context, slot, signal, outcome.disk, isReady);
  if (now?.comment !== next) return undefined;
  if (now.size !== disk.size)
    throw failure("notVerified", { what, detail: `its size is ${now.size}, not ${disk.size}` });
  return now;
}

/** Expression: whether there is exactly this file. */
export function fileIsThere(path: string): Script {
  return ros`[:len [/file/find where name=${path}]] = 1`;
}

/** Statement: makes the item of a file that is there, not exported. @param comment expression */
export function addItem(slot: string, file: string, comment: Script): Script {
  const add = ros`/disk/add type=file slot=${slot} file-path=${file} mount-filesystem=no mount-read-only=no compress=no smb-sharing=no nfs-sharing=no media-sharing=no iscsi-export=no swap=no nvme-tcp-export=no comment=${comment}`;
  // The device may need a moment until a file is free of its former item.
  return ros`:onerror f in={ ${add} } do={ :delay 2s; :onerror g in={ ${add} } do={ :delay 5s; ${add} } }`;
}
