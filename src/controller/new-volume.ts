import type { Capability } from "../domain/access-mode.ts";
import type { CapacityRange } from "../domain/capacity-range.ts";
import type { Clock } from "../domain/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { Premises } from "../domain/premises.ts";
import type { VolumeRecord } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { problemOfSource, requireFinished, requireRoomForCopy } from "../rds/copy.ts";
import type { FileLayout, Layout } from "../rds/layout.ts";
import type { Pool } from "../rds/pool.ts";
import type { Rds } from "../rds/rds.ts";
import { canHoldSubvolumes } from "../rds/subvolume.ts";
import { type Classified, ownVolume, type RdsVolume } from "../rds/volume.ts";
import { type ContentSource, findSource, requireSameFilesystem } from "./content-source.ts";
import type { Parameters } from "./parameters.ts";
import { chooseSize, fitting, sizeOfClone } from "./sizes.ts";

interface Options {
  readonly rds: Rds;
  readonly clock: Clock;
  /** Bytes that stay free in each pool. */
  readonly reserveBytes: bigint;
  readonly clusterId: string;
  /** Default pool and folder. */
  readonly layout: Layout;
  /** Left out: nobody has asked the device. */
  readonly premises?: Premises;
}

/** A volume that does not exist yet. */
export interface WantedVolume {
  readonly name: string;
  readonly id: VolumeId;
  readonly range: CapacityRange;
  readonly capabilities: readonly Capability[];
  readonly parameters: Parameters;
  /** undefined: a blank volume. */
  readonly source: ContentSource | undefined;
  /** Default or chosen pool, and folder. */
  readonly layout: Layout;
  /** That pool as just read. */
  readonly pool: Pool;
  readonly signal: AbortSignal;
}

/** Makes a volume that does not exist, blank or from its source. One RouterOS command; two with a source, three if that is on another pool than the default one. */
export async function makeVolume(options: Options, wanted: WantedVolume): Promise<Classified> {
  const { id, range, capabilities, parameters, layout, pool, signal } = wanted;
  const isCopy = wanted.source?.kind === "volume" && parameters.cloneMode === "copy";
  if (wanted.source !== undefined) options.premises?.require(isCopy ? "copies" : "snapshots");
  if (wanted.source?.kind === "volume" && isCopy) return makeCopyTarget(options, wanted, wanted.source.id);
  if (wanted.source !== undefined) return makeClone(options, wanted, wanted.source);
  const form = requireFileLayout(pool, parameters.layout);
  const sizeBytes = fitting(chooseSize(range, capabilities), pool, range);
  const record = newRecord(options, wanted, form);
  return options.rds.create({ id, layout, form, pool, sizeBytes, record, signal });
}

async function makeClone(
  options: Options,
  wanted: WantedVolume,
  { id: handle, ...rest }: ContentSource,
): Promise<Classified> {
  const { rds } = options;
  const { id, range, capabilities, parameters, layout, signal } = wanted;
  const source = await findSource(rds, { id: handle, ...rest } as ContentSource, signal);
  requireSameFilesystem(source, capabilities);
  if (parameters.layout === "plain") throw failure("cloneNeedsSubvolume", { source: source.name });
  if (source.pool !== wanted.pool.slot && parameters.pool !== undefined)
    throw failure("sourceOnOtherPool", { source: source.name, pool: source.pool, asked: parameters.pool });
  const pool = await poolOf(options, wanted, source.pool);
  const form = requireFileLayout(pool, "subvolume");
  const wantedBytes = fitting(sizeOfClone(source.name, source.sizeBytes, range, capabilities), pool, range);
  const { filesystem } = source;
  const record = { ...newRecord(options, wanted, form), source: handle, filesystem, wantedBytes };
  const spec = { id, layout: { ...layout, pool: pool.slot }, form, pool, sizeBytes: wantedBytes, record };
  return rds.create({ ...spec, source, signal });
}

/** The pool with this slot, read if it is not the one that was read. */
async function poolOf(
  { rds, reserveBytes }: Options,
  { pool, signal }: WantedVolume,
  slot: string,
): Promise<Pool> {
  return slot === pool.slot ? pool : (await rds.readPool(slot, reserveBytes, signal)).pool;
}

/**
 * Makes the unfinished volume into which a volume is copied: on the pool that is asked for, else on that of the source.
 * @throws volumeNotFound (NOT_FOUND); copySourceAttached, volumeUnfinished, recordUnusable, foreignDisk (FAILED_PRECONDITION); sourcePoolAway (UNAVAILABLE)
 */
async function makeCopyTarget(options: Options, wanted: WantedVolume, handle: VolumeId): Promise<Classified> {
  const { rds } = options;
  const { id, range, capabilities, parameters, layout, signal } = wanted;
  const found = await rds.copies.source(handle, signal);
  if (found === undefined) return rds.conversions.absent(handle, signal);
  const { volume } = found;
  requireFinished(volume);
  const by = problemOfSource(volume);
  if (by !== undefined) throw failure("copySourceAttached", { source: handle, by });
  const name = `volume ${handle}`;
  const { filesystem } = volume.record;
  const source = {
    name,
    filesystem,
    pool: found.pool.slot,
    subvolume: "",
    sizeBytes: volume.disk.size ?? 0n,
  };
  requireSameFilesystem(source, capabilities);
  const pool = parameters.pool === undefined ? await poolOf(options, wanted, source.pool) : wanted.pool;
  const form = requireFileLayout(pool, parameters.layout);
  const sizeBytes = fitting(sizeOfClone(name, source.sizeBytes, range, capabilities), pool, range);
  const copy = rds.copies.begin(found);
  const record = { ...newRecord(options, wanted, form), source: handle, filesystem, copy };
  requireRoomForCopy(id, record);
  return rds.create({ id, layout: { ...layout, pool: pool.slot }, form, pool, sizeBytes, record, signal });
}

/** Grows a clone whose CreateVolume was interrupted, or is at work elsewhere, before the clone has its size. No RouterOS command, or two for such a clone. */
export async function finishClone(
  { rds, reserveBytes }: Options,
  volume: RdsVolume,
  signal: AbortSignal,
): Promise<RdsVolume> {
  const { id, record, disk } = volume;
  const { wantedBytes = 0n, epoch } = record;
  if (epoch > 0 || disk.size === undefined || disk.size >= wantedBytes) return volume;
  const { found, pool } = await rds.findWithPool(id, reserveBytes, signal);
  const present = ownVolume(found);
  if (present === undefined || pool === undefined) throw failure("volumeNotReady", { volume: id });
  const spec = { volume: present, pool, sizeBytes: wantedBytes, reExportSince: undefined, signal };
  const result = await rds.grow(spec);
  if (result.kind === "written") return result.volume;
  throw failure("notVerified", { what: `creating volume ${id}`, detail: "it was changed meanwhile" });
}

/** The layout of a new volume in a pool; undefined: the pool cannot have the one that is asked for. */
export function fileLayoutIn(pool: Pool, asked: Parameters["layout"]): FileLayout | undefined {
  if (asked === "plain") return "plain";
  if (canHoldSubvolumes(pool)) return "subvolume";
  return asked === "auto" ? "plain" : undefined;
}

/** @throws layoutUnsupported (FAILED_PRECONDITION) */
function requireFileLayout(pool: Pool, asked: Parameters["layout"]): FileLayout {
  const form = fileLayoutIn(pool, asked);
  if (form !== undefined) return form;
  const label = `its label is ${JSON.stringify(pool.fsLabel)}`;
  const reason = pool.fs === "btrfs" ? label : `its filesystem is ${pool.fs || "unknown"}, not Btrfs`;
  throw failure("layoutUnsupported", { pool: pool.slot, reason });
}

function newRecord(
  { clusterId, clock }: Options,
  { name, parameters: { settings, claim } }: WantedVolume,
  form: FileLayout,
): VolumeRecord {
  return {
    name,
    cluster: clusterId,
    claim,
    createdAt: Math.floor(clock.now() / 1_000),
    source: undefined,
    ...(form === "subvolume" ? { layout: form } : {}),
    filesystem: undefined,
    epoch: 0,
    attachments: [],
    migration: undefined,
    ended: [],
    settings,
    unknown: [],
  };
}
