import { backoffDelay } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { failure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { inBackground } from "../observability/request-scope.ts";
import { type CopyTarget, copyProgress, isCopyTarget, isStillSource, problemOfSource } from "../rds/copy.ts";
import type { Rds } from "../rds/rds.ts";
import { ownVolume, type RdsVolume } from "../rds/volume.ts";
import { ChunkSize } from "./chunk-size.ts";
import { CopyReport } from "./copy-report.ts";

export interface CopyServiceOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventSink | undefined;
  /** Bytes of each part, for tests. */
  readonly chunkBytes?: bigint | undefined;
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
const LOOK_MS = 2_000;
/** Waits after failures, milliseconds, and how long failures in a row may last. */
const PAUSES = { firstMs: 500, maxMs: 15_000 };
const FAILING_MS = 600_000;
/** A copy that no call has asked for so long is left, milliseconds: the sidecars repeat a call within 5 minutes. */
const IDLE_MS = 1_200_000;
/** How long a call waits for the end of a copy, milliseconds. */
const WAIT_MS = 10_000;

/** How long a part that is being copied may take once its copy is to stop, milliseconds. */
const GRACE_MS = 10_000;

/** Errors after which the next attempt may succeed. */
const TRANSIENT = new Set<number>([
  GrpcCode.UNAVAILABLE,
  GrpcCode.ABORTED,
  GrpcCode.DEADLINE_EXCEEDED,
  GrpcCode.RESOURCE_EXHAUSTED,
]);

interface Job {
  readonly stop: AbortController;
  readonly ended: Promise<CopyOutcome>;
  /** As last read. */
  target: CopyTarget;
  askedAt: number;
}

/**
 * Full copies of volumes, which go on in the background of the process that was asked last. The record of the target says how far a copy is, so
 * another process goes on where this one ended. One part is copied at a time, over a connection of its own.
 */
export class CopyService {
  readonly #options: CopyServiceOptions;
  readonly #jobs = new Map<VolumeId, Job>();
  readonly #sizes: ChunkSize;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: CopyServiceOptions) {
    this.#options = options;
    this.#sizes = new ChunkSize(options.chunkBytes);
  }

  /**
   * Goes on with the copy into a volume, and waits for its end for some seconds.
   * @throws copyRunning (ABORTED) while it goes on; the error that ended it
   */
  async advance(target: CopyTarget, source: VolumeId, signal: AbortSignal): Promise<CopyOutcome> {
    const { clock } = this.#options;
    const job = this.#jobs.get(target.id) ?? this.#start(target, source);
    job.askedAt = clock.monotonic();
    const waited = new AbortController();
    const wait = clock.sleep(WAIT_MS, AbortSignal.any([signal, waited.signal])).catch(() => {});
    const outcome = await Promise.race([job.ended, wait.then(() => undefined)]);
    waited.abort();
    signal.throwIfAborted();
    if (outcome?.kind === "failed") throw outcome.error;
    if (outcome !== undefined && outcome.kind !== "idle") return outcome;
    const progress = copyProgress(job.target.record.copy);
    throw failure("copyRunning", { volume: target.id, source, progress });
  }

  /** Ends the work of this process on a copy. A part that is being copied ends first. */
  async stop(id: VolumeId): Promise<void> {
    const job = this.#jobs.get(id);
    job?.stop.abort(failure("cancelled", { what: `copy into volume ${id}` }));
    await job?.ended;
  }

  /** Ends the work on all copies. */
  async close(): Promise<void> {
    await Promise.all([...this.#jobs.keys()].map((id) => this.stop(id)));
  }

  #start(target: CopyTarget, source: VolumeId): Job {
    const stop = new AbortController();
    const begin = () =>
      inBackground("copy", () => this.#run(target.id, source, stop.signal)).finally(() =>
        this.#jobs.delete(target.id),
      );
    const { promise, resolve } = Promise.withResolvers<CopyOutcome>();
    const job: Job = { stop, target, ended: promise, askedAt: this.#options.clock.monotonic() };
    this.#jobs.set(target.id, job);
    resolve(begin());
    return job;
  }

  async #run(id: VolumeId, source: VolumeId, signal: AbortSignal): Promise<CopyOutcome> {
    const { clock, logger, events } = this.#options;
    const work = new CopyWork(this.#options, id, source, (chunk) => this.#inTurn(chunk), this.#sizes);
    const report = new CopyReport({ clock, logger, events });
    let failingSince: number | undefined;
    let last: string | undefined;
    for (let failures = 0; ; ) {
      const job = this.#jobs.get(id);
      if (job !== undefined && clock.monotonic() - job.askedAt > IDLE_MS) return { kind: "idle" };
      try {
        signal.throwIfAborted();
        const step = await work.step(signal);
        [failures, failingSince] = [0, undefined];
        if (step.kind === "goes-on") {
          if (job !== undefined) job.target = step.target;
          report.progress(step.target, source);
          const { comment } = step.target.disk;
          // Nothing was done: an end is not as it was read, or a line is in the way.
          if (comment === last) await clock.sleep(LOOK_MS, signal);
          last = comment;
          continue;
        }
        if (step.kind === "done") report.finished(step.volume, source);
        return step;
      } catch (thrown) {
        const error = toDriverError(thrown);
        failures += 1;
        failingSince ??= clock.monotonic();
        const isLasting = clock.monotonic() - failingSince > FAILING_MS;
        if (signal.aborted || isLasting || !TRANSIENT.has(error.code)) return { kind: "failed", error };
        logger.warn("copying a volume is interrupted", { volume: id, source, error });
        await clock.sleep(backoffDelay(failures, PAUSES), signal).catch(() => {});
      }
    }
  }

  /** One part at a time in this process. */
  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work, work);
    this.#turn = turn.catch(() => {});
    return turn;
  }
}

type Step = CopyOutcome | { readonly kind: "goes-on"; readonly target: CopyTarget };

/** The work of one process on one copy. */
class CopyWork {
  readonly #options: CopyServiceOptions;
  readonly #id: VolumeId;
  readonly #source: VolumeId;
  readonly #inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  readonly #sizes: ChunkSize;
  /** What this process has seen copied, beyond what the record with this text says. */
  #proven: { readonly comment: string; readonly done: bigint } | undefined;
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
    const source = ownVolume(ends.source);
    const isUsable =
      source !== undefined && problemOfSource(source) === undefined && isStillSource(target.record, source);
    if (!isUsable) return { kind: "stale", target };
    const { copy } = target.record;
    const isLast = this.#proven?.comment === target.disk.comment;
    const done = isLast && this.#proven !== undefined ? this.#proven.done : copy.done;
    if (done === copy.total) {
      const volume = await copies.finish(target, signal);
      return volume === undefined ? { kind: "goes-on", target } : { kind: "done", volume };
    }
    return this.#inTurn(() => this.#chunk(target, source, done, signal));
  }

  async #chunk(target: CopyTarget, source: RdsVolume, done: bigint, signal: AbortSignal): Promise<Step> {
    signal.throwIfAborted();
    const { rds, clock } = this.#options;
    const left = target.record.copy.total - done;
    const size = left < this.#sizes.now ? left : this.#sizes.now;
    const since = clock.monotonic();
    const late = lateAbort(signal, clock);
    try {
      const result = await rds.copies.chunk({ target, source, done, size, signal: late.signal });
      if (result.kind === "changed") return { kind: "goes-on", target };
      this.#sizes.took(size, clock.monotonic() - since);
      this.#proven = { comment: result.target.disk.comment, done: done + size };
      const copy = { ...result.target.record.copy, done: done + size };
      return { kind: "goes-on", target: { ...result.target, record: { ...result.target.record, copy } } };
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
