import { failure } from "../domain/errors/driver-error.ts";
import type { CopyState } from "../domain/record/volume-record.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { ros } from "../routeros/script.ts";
import type { VolumeCache } from "./cache.ts";
import { disksOf, type RdsContext, runChecked } from "./context.ts";
import {
  type ChunkResult,
  type ChunkSpec,
  type CopyEnds,
  type CopyTarget,
  copyChunk,
  newCopy,
  readEnds,
} from "./copy.ts";
import { finishCopy, freeTarget } from "./copy-end.ts";
import { disks } from "./disk.ts";
import { classifiedAmong } from "./lookup.ts";
import { type MountedDisk, poolHolding } from "./pool.ts";
import { listFiles } from "./survey.ts";
import { ownVolume, type RdsVolume } from "./volume.ts";

/** A file that is still empty after so long counts as lost, seconds. No hardware has shown how long a large one takes. */
const EMPTY_AFTER_S = 600;

/** A volume as source of a full copy, and the pool that its file is on. */
export interface CopySource {
  readonly volume: RdsVolume;
  readonly pool: MountedDisk;
}

/**
 * Full copies of volumes on one RDS, which the device makes part by part. All that is known about a copy stands in the record of its target.
 * Each method says how many RouterOS commands it costs. All throw the link's failures.
 */
export class CopyStore {
  readonly #context: RdsContext;
  readonly #ready: (signal: AbortSignal) => Promise<unknown>;
  readonly #cache: Pick<VolumeCache, "forget">;

  /** @param ready awaited before each command @param cache forgets each volume whose record changes */
  constructor(
    context: RdsContext,
    ready: (signal: AbortSignal) => Promise<unknown>,
    cache: Pick<VolumeCache, "forget">,
  ) {
    this.#context = context;
    this.#ready = ready;
    this.#cache = cache;
  }

  /**
   * A volume of this installation as source; undefined if it is proven absent. One command.
   * @throws sourcePoolAway, volumeNotReady (UNAVAILABLE), recordUnusable, foreignDisk (FAILED_PRECONDITION)
   */
  async source(id: VolumeId, signal: AbortSignal): Promise<CopySource | undefined> {
    await this.#ready(signal);
    const listed = disksOf(
      await runChecked(this.#context, {
        what: `read volume ${id} and the pools`,
        purpose: "read",
        listing: disks(ros`slot=${id} or mounted`),
        body: (rows) => rows,
        signal,
        coalesceKey: `copied:${id}`,
      }),
    );
    const volume = ownVolume(classifiedAmong(this.#context, id, listed));
    if (volume === undefined) return undefined;
    const pool = poolHolding(listed, volume.disk.filePath);
    if (pool === undefined) throw failure("sourcePoolAway", { source: `volume ${id}` });
    if (volume.disk.size === undefined) throw failure("volumeNotReady", { volume: id });
    return { volume, pool };
  }

  /** The state of a copy of a source, before it begins. No command. */
  begin({ volume }: CopySource): CopyState {
    return newCopy(this.#context, volume);
  }

  /** Whether a target has lost its file, or all bytes of it, as by a power loss soon after it was made. One command. */
  async isLost({ disk, record }: CopyTarget, signal: AbortSignal): Promise<boolean> {
    await this.#ready(signal);
    const { clock } = this.#context;
    const found = await listFiles(this.#context, ros`name=${disk.filePath}`, signal);
    const file = found.find(({ path }) => path === disk.filePath);
    if (file === undefined) return true;
    // A young one may be on its way: the device gives a large file its blocks first.
    return file.sizeBytes === 0n && clock.now() / 1_000 - record.createdAt > EMPTY_AFTER_S;
  }

  /** Both ends of a copy. One command. */
  async ends(target: VolumeId, source: VolumeId, signal: AbortSignal): Promise<CopyEnds> {
    await this.#ready(signal);
    return readEnds(this.#context, target, source, signal);
  }

  /** Copies one part. One command. @throws as `copyChunk` */
  async chunk(spec: ChunkSpec): Promise<ChunkResult> {
    await this.#ready(spec.signal);
    this.#cache.forget(spec.target.id);
    return copyChunk(this.#context, spec);
  }

  /** Frees a target of a line that is over. One command, and more until the size shows. @returns undefined: it is not as it was read */
  async free(target: CopyTarget, signal: AbortSignal): Promise<CopyTarget | undefined> {
    await this.#ready(signal);
    this.#cache.forget(target.id);
    return freeTarget(this.#context, target, signal);
  }

  /** Makes a copied target a volume, when it has settled (`SETTLE_MS`). One command. @returns undefined: it is not as it was read, or the device has restarted */
  async finish(target: CopyTarget, signal: AbortSignal): Promise<RdsVolume | undefined> {
    await this.#ready(signal);
    this.#cache.forget(target.id);
    return finishCopy(this.#context, target, signal);
  }
}
