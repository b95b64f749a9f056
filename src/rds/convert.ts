import { type DriverError, failure, isFailure } from "../domain/errors/driver-error.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { isOfEarlierDriver, type VolumeId } from "../domain/volume-id.ts";
import { ros, type Script } from "../routeros/script.ts";
import { filesAmong } from "./backing-file.ts";
import { bootIn, putBoot } from "./boot.ts";
import { commandFailure, disksOf, onlyDisk, type RdsContext, runChecked } from "./context.ts";
import { conversionSlots } from "./conversion-slots.ts";
import { abortScript, type Conversion, type ConversionItem, STEP_SCRIPTS, stepOf } from "./convert-steps.ts";
import {
  type ChunkResult,
  type ChunkSpec,
  type CopyTarget,
  copyChunk,
  isStillSource,
  problemOfSource,
} from "./copy.ts";
import { freeTarget, noteCopied } from "./copy-end.ts";
import { type Disk, disks, FILE_PROPERTIES } from "./disk.ts";
import { fileLayoutOf, parentOf } from "./layout.ts";
import { classifiedAmong } from "./lookup.ts";
import { poolFull, poolHolding, poolRefused } from "./pool.ts";
import type { PoolSpace } from "./space.ts";
import { canHoldSubvolumes } from "./subvolume.ts";
import { type Classified, ownVolume, type RdsVolume, requireVolume } from "./volume.ts";

/**
 * Moves a volume from a plain file into a subvolume, step by step; each step is one RouterOS command that looks again before it acts, and may be
 * repeated. The record and the data are in two places from the moment at which the copy is whole until the volume has been verified to have it.
 */
export class ConversionStore {
  readonly #context: RdsContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;
  readonly #space: PoolSpace;

  constructor(context: RdsContext, ready: (signal: AbortSignal) => Promise<unknown>, space: PoolSpace) {
    this.#context = context;
    this.#ready = ready;
    this.#space = space;
  }

  /**
   * Where a volume is. Two commands, and before the first step those of `PoolSpace.ofVolume`.
   * @throws volumeNotFound (NOT_FOUND); conversionRefused, recordUnusable, foreignDisk (FAILED_PRECONDITION); conversionRoom (RESOURCE_EXHAUSTED);
   *   sourcePoolAway, volumeNotReady (UNAVAILABLE)
   */
  async look(id: VolumeId, signal: AbortSignal): Promise<Conversion> {
    await this.#ready(signal);
    const slots = conversionSlots(id);
    const what = `read volume ${id} and the pools`;
    const listing = disks(ros`slot=${id} or slot=${slots.fresh} or slot=${slots.kept} or mounted`);
    const read = { what, purpose: "read", signal } as const;
    const listed = disksOf(await runChecked(this.#context, { ...read, listing, body: (rows) => rows }));
    const volume = ownVolume(classifiedAmong(this.#context, id, listed));
    const [fresh, kept] = [slots.fresh, slots.kept].map((slot) => this.#item(slot as VolumeId, listed));
    const path = (kept ?? fresh ?? volume)?.disk.filePath;
    if (path === undefined) throw failure("volumeNotFound", { volume: id });
    const refuse = (reason: string) => failure("conversionRefused", { volume: id, reason });
    const pool = poolHolding(listed, path);
    if (pool === undefined) throw failure("sourcePoolAway", { source: `volume ${id}` });
    if (!canHoldSubvolumes(pool))
      throw refuse(`pool ${pool.slot} cannot hold subvolumes (${pool.fs || "unknown"})`);
    const folder = fileLayoutOf(path, id) === "subvolume" ? parentOf(parentOf(path)) : parentOf(path);
    const directory = `${folder}/${id}`;
    const paths = { oldFile: `${folder}/${id}.img`, directory, newFile: `${directory}/disk.img` };
    const { reply } = await runChecked(this.#context, {
      ...read,
      body: () => ros`${putBoot()}; ${filesAmong(Object.values(paths))}`,
    });
    const names = reply.flat("files");
    if (names === undefined)
      throw failure("replyUnreadable", { what, detail: "the list of files is cut off" });
    const there = new Set(names.split("|").map((name) => name.trim().replace(/^\/+/, "")));
    const sizeBytes = (volume ?? fresh ?? kept)?.disk.size;
    if (sizeBytes === undefined) throw failure("volumeNotReady", { volume: id });
    const subvolume = { label: pool.fsLabel, name: directory.slice(pool.mountPoint.length + 1) };
    const facts = { id, volume, fresh, kept, pool, subvolume, ...paths, there, sizeBytes };
    const step = stepOf(facts);
    const problem = step === "mark" && volume !== undefined ? problemOfSource(volume) : undefined;
    if (problem !== undefined) throw refuse(problem);
    if (step === "mark" && volume?.record.copy !== undefined) throw refuse("it is being copied");
    // Its item would be removed, and could not be made anew.
    if (step === "mark" && isOfEarlierDriver(id))
      throw refuse(
        `the earlier driver made it, and RouterOS 7.24 makes no item with a slot of ${id.length} characters`,
      );
    const left = fresh ?? kept;
    // It may hold an older state of the volume, which a conversion would take for a copy that is whole.
    if (step === "mark" && left !== undefined)
      throw refuse(`disk item ${left.disk.slot} is left of another conversion: look what its file holds`);
    if (step === "mark") await this.#requireRoom(id, path, sizeBytes, signal);
    return { ...facts, step, ...(step === "copy" ? { boot: bootIn(reply, what) } : {}) };
  }

  /** The new file needs the room of a new volume. @throws conversionRoom */
  async #requireRoom(id: VolumeId, path: string, sizeBytes: bigint, signal: AbortSignal): Promise<void> {
    const { reserveBytes: reserve = 0n } = this.#context;
    // No other call of this process creates or grows a volume.
    const asked = () => ({ ids: [], endings: 0 });
    const { pool } = await this.#space.ofVolume(id, path, { asked, reserve, signal });
    if (pool === undefined) throw failure("sourcePoolAway", { source: `volume ${id}` });
    if (pool.available < sizeBytes) throw lacksRoom(id, poolFull(pool, sizeBytes, pool.available));
  }

  /** An item of a conversion. @throws conversionRefused when it holds no record of this installation */
  #item(slot: VolumeId, listed: readonly Disk[]): ConversionItem | undefined {
    const disk = onlyDisk(slot, listed);
    if (disk === undefined) return undefined;
    const decoded = decodeRecord(disk.comment);
    if (decoded.kind === "record" && decoded.record.cluster === this.#context.clusterId)
      return { disk, record: decoded.record };
    throw failure("foreignDisk", { slot, reason: "it holds no record of this installation" });
  }

  /**
   * For a volume whose own item was not found. One command.
   * @throws volumeConverting (FAILED_PRECONDITION) while another item has its record; rdsBusy (UNAVAILABLE) when its own item is there by now
   */
  async requireNone(id: VolumeId, signal: AbortSignal): Promise<void> {
    await this.#ready(signal);
    const { fresh, kept } = conversionSlots(id);
    // Its own item, too: a conversion that ended since has left no other one.
    const listing = disks(ros`slot=${id} or slot=${fresh} or slot=${kept}`, FILE_PROPERTIES);
    const what = `look whether volume ${id} is converted`;
    const read = { what, purpose: "read", signal } as const;
    const listed = disksOf(await runChecked(this.#context, { ...read, listing, body: (rows) => rows }));
    if (listed.some(({ slot }) => slot !== id)) throw failure("volumeConverting", { volume: id });
    if (ownVolume(classifiedAmong(this.#context, id, listed)) !== undefined)
      throw failure("rdsBusy", { what, detail: "its disk item was made meanwhile" });
  }

  /** For a call that needs a volume whose own item was not found. One command. @throws as `requireNone`, else volumeNotFound (NOT_FOUND) */
  async absent(id: VolumeId, signal: AbortSignal): Promise<never> {
    await this.requireNone(id, signal);
    throw failure("volumeNotFound", { volume: id });
  }

  /** As `requireVolume`. No command, or one for a volume that was not found. @throws as `requireVolume` and `absent` */
  async required(id: VolumeId, found: Classified | undefined, signal: AbortSignal): Promise<RdsVolume> {
    return found === undefined ? this.absent(id, signal) : requireVolume(id, found);
  }

  /** Does the step that is next, except `copy`. One command. What came of it is seen by the next look. */
  async run(conversion: Conversion, signal: AbortSignal): Promise<void> {
    const { step } = conversion;
    const script = STEP_SCRIPTS[step]?.(conversion, this.#context);
    if (script === undefined) throw failure("internal", { what: `step ${step} of a conversion` });
    await this.#change(conversion, step, script, signal);
  }

  async #change(conversion: Conversion, step: string, script: Script, signal: AbortSignal): Promise<void> {
    const { id } = conversion;
    await this.#ready(signal);
    const what = `convert volume ${id}: ${step}`;
    const outcome = await this.#context.client.run({
      what,
      purpose: "change",
      orderKey: id,
      body: () => script,
      signal,
    });
    if (outcome.ok) return;
    const { kind, reason, text } = outcome.failure;
    const { slot, fsLabel: label, free } = conversion.pool;
    if (kind === "space")
      throw lacksRoom(id, poolRefused({ slot, available: free }, conversion.sizeBytes, text));
    if (reason === "pool-not-mounted") throw failure("sourcePoolAway", { source: `volume ${id}` });
    if (reason === "label-ambiguous") throw failure("labelAmbiguous", { pool: slot, label });
    // The name of a subvolume that was just removed may not be free yet.
    const isSoon = reason === "changed" || reason === "file-in-use" || kind === "exists";
    if (isSoon) throw failure("rdsBusy", { what, detail: text });
    throw commandFailure(what, outcome.failure);
  }

  /** The copy that step `copy` fills; undefined: it is not one of the volume as it is, and the step makes it anew. */
  target({ id, fresh, volume, there, newFile }: Conversion): CopyTarget | undefined {
    const copy = fresh?.record.copy;
    if (fresh === undefined || volume === undefined || copy === undefined) return undefined;
    // A power loss soon after `make` takes the file away, and leaves its item.
    if (!there.has(newFile)) return undefined;
    const record = { ...fresh.record, copy };
    return isStillSource(record, volume) ? { id, disk: fresh.disk, record } : undefined;
  }

  /** Copies one part. One command. @throws as `copyChunk`, but conversionRoom (RESOURCE_EXHAUSTED) */
  async chunk(spec: ChunkSpec): Promise<ChunkResult> {
    return copyChunk(this.#context, spec).catch((error: unknown) => {
      throw isFailure(error, "poolRefused") ? lacksRoom(spec.target.id, error) : error;
    });
  }

  /** Frees the new file of a line that is over. @throws rdsBusy */
  async free(target: CopyTarget, signal: AbortSignal): Promise<void> {
    await freeTarget(this.#context, target, signal);
  }

  /** Notes that all bytes are copied, when they have settled (`SETTLE_MS`). One command, and more until the size shows. @returns, @throws as `noteCopied` */
  async copied(target: CopyTarget, signal: AbortSignal): Promise<boolean> {
    return noteCopied(this.#context, target, signal);
  }

  /**
   * Gives a conversion up that has not come to `switch`: the copy goes, and the volume is as before. One command.
   * @throws conversionRefused (FAILED_PRECONDITION) when it cannot be given up; rdsBusy while the device copies
   */
  async abort(conversion: Conversion, signal: AbortSignal): Promise<void> {
    const { id, volume, fresh } = conversion;
    if (volume?.record.conversion !== "copy" || fresh?.record.conversion !== undefined) {
      const reason = "only a conversion that has not come to the step switch can be given up";
      throw failure("conversionRefused", { volume: id, reason });
    }
    await this.#change(conversion, "give up", abortScript(conversion), signal);
  }
}

/** A pool without room for the new file, as a person who converts reads it. */
const lacksRoom = (volume: VolumeId, { summary: reason }: DriverError): DriverError =>
  failure("conversionRoom", { volume, reason });
