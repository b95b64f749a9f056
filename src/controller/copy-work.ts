import type { Clock } from "../domain/clock.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { isSameBoot } from "../rds/boot.ts";
import {
  type ChunkSpec,
  type CopyTarget,
  copiedBytes,
  isCopyTarget,
  isStillSource,
  problemOfSource,
  type SeenCopied,
} from "../rds/copy.ts";
import { SETTLE_MS } from "../rds/copy-end.ts";
import type { Rds } from "../rds/rds.ts";
import { ownVolume, type RdsVolume } from "../rds/volume.ts";
import type { ChunkSize } from "./chunk-size.ts";

export interface CopyServiceOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventSink | undefined;
  /** Bytes of each part, for tests. */
  readonly chunkBytes?: bigint | undefined;
  /** How long a volume that is copied stays unfinished, for tests; left out: `SETTLE_MS`. Milliseconds. */
  readonly settleMs?: number | undefined;
}

/**
 * How the work on a copy ended:
 * `done` – the volume is finished; `gone` – its disk item is gone; `stale` – the source is in use, was attached since, or is gone, so that
 * the copy must begin anew; `failed` – with an error, and another call goes on; `idle` – nobody has asked for it for long.
 */
export type CopyOutcome =
  | { readonly kind: "done"; readonly volume: RdsVolume }
  | { readonly kind: "gone" | "idle" }
  | { readonly kind: "stale"; readonly target: CopyTarget }
  | { readonly kind: "failed"; readonly error: Error };

/** A line that is named in a record for so long, on the clock of one process, is over or given up: three times the deadline of a line. */
export const LINE_LIMIT_MS = 180_000;
/** How often a target is looked at while a line of another process copies into it, milliseconds. */
export const LOOK_MS = 2_000;
/** How long a part that is being copied may take once its copy is to stop, milliseconds. */
const GRACE_MS = 10_000;

type Step = CopyOutcome | { readonly kind: "goes-on"; readonly target: CopyTarget };

/** The work of one process on one copy. */
export class CopyWork {
  readonly #options: CopyServiceOptions;
  readonly #id: VolumeId;
  readonly #source: VolumeId;
  readonly #inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly #sizes: ChunkSize;
  #seen: SeenCopied | undefined;
  /** The record with a line in it, and since when this process sees it. */
  #busy: { readonly comment: string; readonly since: number } | undefined;

  constructor(
    options: CopyServiceOptions,
    id: VolumeId,
    source: VolumeId,
    inTurn: <T>(work: () => Promise<T>) => Promise<T>,
    sizes: ChunkSize,
  ) {
    this.#options = options;
    this.#id = id;
    this.#source = source;
    this.#inTurn = inTurn;
    this.#sizes = sizes;
  }

  /** Looks at both ends and does what is next. At most two RouterOS commands, or some more while a line is in the way. */
  async step(signal: AbortSignal): Promise<Step> {
    const { copies } = this.#options.rds;
    const ends = await copies.ends(this.#id, this.#source, signal);
    const target = ownVolume(ends.target);
    if (target === undefined) return { kind: "gone" };
    if (!isCopyTarget(target)) return { kind: "done", volume: target };
    if (target.record.copy.isBusy) return this.#wait(target, signal);
    this.#busy = undefined;
    if (target.disk.size === undefined) {
      // The device is not ready yet; or its file is lost, which the calls find out.
      await this.#options.clock.sleep(LOOK_MS, signal);
      return { kind: "goes-on", target };
    }
    const { boot } = ends;
    const done = copiedBytes(target, this.#seen, boot);
    // Each part was copied from the source as it was: from here on nothing is read from it.
    if (done === target.record.copy.total) return this.#end(target, signal);
    const source = ownVolume(ends.source);
    const isUsable =
      source !== undefined && problemOfSource(source) === undefined && isStillSource(target.record, source);
    if (!isUsable) return { kind: "stale", target };
    if (target.record.copy.boot !== undefined && !isSameBoot(target.record.copy.boot, boot))
      this.#options.logger.warn("copying a volume begins anew: the RDS has restarted", { volume: this.#id });
    return this.#inTurn(() => this.#chunk({ target, source, done, boot, signal }));
  }

  /** Finishes a copy that is whole, once the device has surely written what it copied last. */
  async #end(target: CopyTarget, signal: AbortSignal): Promise<Step> {
    const { rds, clock, settleMs = SETTLE_MS } = this.#options;
    const now = clock.monotonic();
    const { comment } = target.disk;
    const done = target.record.copy.total;
    // By a record alone a copy is never whole; the time of another process is not known.
    if (this.#seen?.comment !== comment) this.#seen = { comment, done, at: now };
    const left = this.#seen.at + settleMs - now;
    if (left > 0) {
      await clock.sleep(left, signal);
      return { kind: "goes-on", target: withDone(target, done) };
    }
    const volume = await rds.copies.finish(target, signal);
    return volume === undefined ? { kind: "goes-on", target } : { kind: "done", volume };
  }

  async #chunk(spec: Omit<ChunkSpec, "size">): Promise<Step> {
    const { target, done, signal } = spec;
    signal.throwIfAborted();
    const { rds, clock } = this.#options;
    const left = target.record.copy.total - done;
    const size = left < this.#sizes.now ? left : this.#sizes.now;
    const since = clock.monotonic();
    const late = lateAbort(signal, clock);
    try {
      const result = await rds.copies.chunk({ ...spec, size, signal: late.signal });
      if (result.kind === "changed") return { kind: "goes-on", target };
      const at = clock.monotonic();
      this.#sizes.took(size, at - since);
      this.#seen = { comment: result.target.disk.comment, done: done + size, at };
      return { kind: "goes-on", target: withDone(result.target, done + size) };
    } catch (error) {
      this.#sizes.failed();
      throw error;
    } finally {
      late.clear();
    }
  }

  /** A line copies into the target: of this process, lost, or of another one. */
  async #wait(target: CopyTarget, signal: AbortSignal): Promise<Step> {
    const { rds, clock, logger } = this.#options;
    const { comment } = target.disk;
    const now = clock.monotonic();
    if (this.#busy?.comment !== comment) this.#busy = { comment, since: now };
    if (now - this.#busy.since < LINE_LIMIT_MS) {
      await clock.sleep(LOOK_MS, signal);
      return { kind: "goes-on", target };
    }
    logger.warn("a line that copied a volume is given up", { volume: target.id });
    return { kind: "goes-on", target: (await rds.copies.free(target, signal)) ?? target };
  }
}

/** A target as the process knows it: its record lags one part behind. */
function withDone(target: CopyTarget, done: bigint): CopyTarget {
  return { ...target, record: { ...target.record, copy: { ...target.record.copy, done } } };
}

/** Aborts some time after `signal`: a line that was sent is waited for, as one that is given up stands in the record for long. */
function lateAbort(signal: AbortSignal, clock: Clock): { readonly signal: AbortSignal; clear(): void } {
  const late = new AbortController();
  const over = new AbortController();
  const begin = (): void =>
    void clock.sleep(GRACE_MS, over.signal).then(
      () => late.abort(signal.reason),
      () => {},
    );
  signal.addEventListener("abort", begin, { once: true });
  return {
    signal: late.signal,
    clear: () => {
      signal.removeEventListener("abort", begin);
      over.abort();
    },
  };
}
