import { type DriverError, failure } from "../domain/errors/driver-error.ts";
import { encodeChecked } from "../domain/record/record-codec.ts";
import type { Boot, CopyState, VolumeRecord } from "../domain/record/volume-record.ts";
import { shortSize } from "../domain/size.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { CommandFailure } from "../routeros/client.ts";
import { printed } from "../routeros/envelope.ts";
import { ros, type Script } from "../routeros/script.ts";
import { bootIn, isSameBoot, putBoot, RESTARTED, requireBoot } from "./boot.ts";
import { commandFailure, disksOf, type RdsContext, randomNonce, runChecked } from "./context.ts";
import { disks, FILE_PROPERTIES } from "./disk.ts";
import { classifiedAmong } from "./lookup.ts";
import { poolHolding, poolRefused } from "./pool.ts";
import type { Classified, RdsVolume } from "./volume.ts";

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

/** Both ends of a copy, and the run of the device, read by one command. undefined: proven absent. */
export interface CopyEnds {
  readonly boot: Boot;
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
  const what = `read volumes ${target} and ${source}`;
  const listed = await runChecked(context, {
    what,
    purpose: "read",
    listing: disks(ros`slot=${target} or slot=${source}`, FILE_PROPERTIES),
    body: (rows) => ros`${putBoot()}; ${rows}`,
    signal,
    coalesceKey: `copy:${target}:${source}`,
  });
  const found = disksOf(listed);
  return {
    boot: bootIn(listed.reply, what),
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

/** Later than each run that a record can name: the longest text. */
const LATEST: Boot = { at: 9_999_999_999, uptime: 999_999_999 };

/** For a target that is to be made: its record must fit while it is filled, too. @throws recordTooLarge (INVALID_ARGUMENT) */
export function requireRoomForCopy(id: VolumeId, { copy, ...record }: CopyTarget["record"]): void {
  encodeChecked(id, { ...record, copy: { ...copy, done: copy.total, boot: LATEST } });
}

/**
 * Bytes from the beginning of a target that are surely copied: what the record counts, or what the process has seen beyond that; none after a
 * restart of the device. Also none by a record that says no run of the device.
 */
export function copiedBytes(
  { disk, record: { copy } }: CopyTarget,
  seen: SeenCopied | undefined,
  now: Boot,
): bigint {
  if (!isSameBoot(copy.boot, now)) return 0n;
  return seen?.comment === disk.comment ? seen.done : copy.done;
}

/** What a process has seen copied, beyond what the record with this text says. */
export interface SeenCopied {
  readonly comment: string;
  readonly done: bigint;
  /** When the last part was; milliseconds on the monotonic clock of the process. */
  readonly at: number;
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
  /** The run of the device in which what is `done` was copied, as read. */
  readonly boot: Boot;
  readonly signal: AbortSignal;
}

/** `changed`: an end is not as it was read, and nothing counts as copied. */
export type ChunkResult =
  | { readonly kind: "copied"; readonly target: CopyTarget }
  | { readonly kind: "changed" };

/**
 * Copies one part by one RouterOS command. The record of the target names the line before it copies, so that no second line copies into it, and
 * is free again when the line ends. The source must be the one that was read, not exported, before and behind the copying. The device must not
 * have restarted since it was read; a restart in between ends the line. What was copied counts when a later record says so: only the reply proves it.
 * @throws copyNotConfirmed (FAILED_PRECONDITION) when the device does not say that the part is copied; poolRefused (RESOURCE_EXHAUSTED); rdsBusy, and
 *   the link's failures: then the record may name a line
 */
export async function copyChunk(context: RdsContext, spec: ChunkSpec): Promise<ChunkResult> {
  const { target, source, done, size, boot, signal } = spec;
  const { id } = target;
  const { slot } = target.disk;
  const what = `copy ${size} bytes at ${done} of volume ${source.id} into volume ${id}`;
  const { running, free, copy } = commentsOf(context, target, done, boot);
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
  if (!outcome.ok) return chunkFailed(context, spec, what, outcome.failure);
  const disk = disksOf(outcome).find((each) => each.slot === slot);
  if (disk?.comment !== free) return { kind: "changed" };
  requireConfirmed(id, outcome.reply.flat("copied"), size);
  return { kind: "copied", target: { id, disk, record: { ...target.record, copy } } };
}

async function chunkFailed(
  context: RdsContext,
  { target, done, signal }: ChunkSpec,
  what: string,
  error: CommandFailure,
): Promise<ChunkResult> {
  // One that is looked up in the argument of the copy itself may have gone since the look before it.
  if (error.reason === "changed" || error.reason === RESTARTED || error.kind === "absent")
    return { kind: "changed" };
  const left = target.record.copy.total - done;
  if (error.kind === "space") throw await fullPool(context, target.disk.filePath, left, error.text, signal);
  throw commandFailure(what, error);
}

/** The refusal of the pool that a file is on, also when the pool cannot be read. One RouterOS command. @param wanted bytes that the file was still to take */
async function fullPool(
  context: RdsContext,
  filePath: string,
  wanted: bigint,
  detail: string,
  signal: AbortSignal,
): Promise<DriverError> {
  const read = { what: "read the pools", purpose: "read", listing: disks(ros`mounted`), signal } as const;
  // The device may not refuse a second time, so its refusal counts more than a failure to read.
  const rows = await runChecked(context, { ...read, body: (rows) => rows }).then(disksOf, () => []);
  const pool = poolHolding(rows, filePath);
  const [slot = ""] = filePath.split("/", 1);
  return poolRefused({ slot: pool?.slot ?? slot, available: pool?.free }, wanted, detail);
}

/** The records of a target while a line copies, and behind it. */
function commentsOf(
  context: RdsContext,
  { id, record }: CopyTarget,
  done: bigint,
  boot: Boot,
): { readonly running: string; readonly free: string; readonly copy: CopyState } {
  const line = (context.nonce ?? randomNonce)();
  const of = (copy: CopyState) => encodeChecked(id, { ...record, copy });
  const copy = { ...record.copy, done, line, isBusy: false, boot };
  return { running: of({ ...copy, isBusy: true }), free: of(copy), copy };
}

/**
 * Each command finds its items in its own argument, by slot and comment: a line that runs late finds nothing, as the record is another one by
 * then. When the copying fails the record is free again, and `$f` says why.
 */
function chunkScript({ target, source, done, size, boot }: ChunkSpec, running: string, free: string): Script {
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
  return ros`${requireBoot(boot)}; :local source ${source.disk.comment}; :local running ${running}; :local free ${free}; ${sameSource}; ${begin}; :onerror f in={ ${copy}; ${sameSource} } do={ ${end}; :error $f }; ${end}`;
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
