import { backoffDelay } from "../domain/backoff.ts";
import { failure, isFailure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import { RecentMap } from "../domain/recent-map.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import { inBackground } from "../observability/request-scope.ts";
import { type CopyTarget, copyProgress } from "../rds/copy.ts";
import { SETTLE_MS } from "../rds/copy-end.ts";
import { ChunkSize } from "./chunk-size.ts";
import { CopyReport } from "./copy-report.ts";
import { type CopyOutcome, type CopyServiceOptions, CopyWork, LOOK_MS } from "./copy-work.ts";

/** Waits after failures, milliseconds, and how long failures in a row may last. */
const PAUSES = { firstMs: 500, maxMs: 15_000 };
const FAILING_MS = 600_000;
/** A copy that no call has asked for so long is left, milliseconds: the sidecars repeat a call within 5 minutes. */
const IDLE_MS = 1_200_000;
/** How long a call waits for the end of a copy, milliseconds. */
const WAIT_MS = 10_000;

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
  /** Errors that ended the work while no call waited for it: the next call is told. */
  readonly #untold = new RecentMap<VolumeId, unknown>(256);
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
    this.#tell(target.id);
    const job = this.#jobs.get(target.id) ?? this.#start(target, source);
    job.askedAt = clock.monotonic();
    const waited = new AbortController();
    const wait = clock.sleep(WAIT_MS, AbortSignal.any([signal, waited.signal])).catch(() => {});
    const outcome = await Promise.race([job.ended, wait.then(() => undefined)]);
    waited.abort();
    signal.throwIfAborted();
    this.#tell(target.id);
    if (outcome?.kind === "failed") throw outcome.error;
    if (outcome !== undefined && outcome.kind !== "idle") return outcome;
    const progress = progressOf(job.target);
    throw failure("copyRunning", { volume: target.id, source, progress });
  }

  /** Ends the work of this process on a copy. A part that is being copied ends first. */
  async stop(id: VolumeId): Promise<void> {
    const job = this.#jobs.get(id);
    job?.stop.abort(failure("cancelled", { what: `copy into volume ${id}` }));
    await job?.ended;
    this.#untold.delete(id);
  }

  /** Notes an error that a call could not tell, so that the next one is told. */
  remember(id: VolumeId, error: unknown): void {
    this.#untold.set(id, error);
  }

  /** @throws the error that ended the work, once */
  #tell(id: VolumeId): void {
    const error = this.#untold.get(id);
    this.#untold.delete(id);
    if (error !== undefined) throw error;
  }

  /** Ends the work on all copies. */
  async close(): Promise<void> {
    await Promise.all([...this.#jobs.keys()].map((id) => this.stop(id)));
  }

  #start(target: CopyTarget, source: VolumeId): Job {
    const stop = new AbortController();
    const begin = async (): Promise<CopyOutcome> => {
      try {
        const outcome = await inBackground("copy", () => this.#run(target.id, source, stop.signal));
        if (outcome.kind === "failed") this.#untold.set(target.id, outcome.error);
        return outcome;
      } finally {
        this.#jobs.delete(target.id);
      }
    };
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
        // A pool that is full stays so while the copy takes its space.
        const isFinal = isLasting || !TRANSIENT.has(error.code) || isFailure(error, "poolRefused");
        if (signal.aborted || isFinal) return { kind: "failed", error };
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

/** How far a copy is, and what it waits for, as messages say it. */
function progressOf({ record: { copy } }: CopyTarget): string {
  const waits = `; it waits until the RDS has surely written all of it to its disks, ${SETTLE_MS / 1_000} s behind the last part`;
  return `${copyProgress(copy)}${copy.done === copy.total ? waits : ""}`;
}
