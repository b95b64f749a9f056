import { backoffDelay } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { failure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ConversionStore } from "../rds/convert.ts";
import type { Conversion, ConversionStep } from "../rds/convert-steps.ts";
import type { CopyTarget } from "../rds/copy.ts";
import type { RdsVolume } from "../rds/volume.ts";
import type { ChunkSize } from "./chunk-size.ts";
import { LINE_LIMIT_MS } from "./copies.ts";

export interface ConvertOptions {
  readonly store: ConversionStore;
  readonly clock: Clock;
  readonly sizes: ChunkSize;
  /** Called before each step, and behind each part of the copy with the bytes that are copied. */
  readonly report: (step: ConversionStep, copied?: { readonly done: bigint; readonly total: bigint }) => void;
}

/** Waits after failures, milliseconds, and how many in a row end the work. */
const PAUSES = { firstMs: 500, maxMs: 15_000 };
const MOST_FAILURES = 12;
/** How often the new file is looked at while a line of another process copies into it, milliseconds. */
const LOOK_MS = 2_000;

/** Errors after which the next attempt may succeed. */
const TRANSIENT = new Set<number>([GrpcCode.UNAVAILABLE, GrpcCode.ABORTED, GrpcCode.DEADLINE_EXCEEDED]);

/**
 * Moves a volume into a subvolume, from wherever it is on the way. After an error, or the end of the process, the same call goes on.
 * @throws the error that ended it, as `ConversionStore.look` and `run`
 */
export async function convertVolume(
  options: ConvertOptions,
  id: VolumeId,
  signal: AbortSignal,
): Promise<void> {
  const { store, clock, report } = options;
  const copy = new CopyPart(options);
  let last: ConversionStep | undefined;
  for (let failures = 0; ; ) {
    try {
      const now = await store.look(id, signal);
      report(now.step);
      if (now.step === "done") return;
      if (now.step === "copy") await copy.part(now, signal);
      else await store.run(now, signal);
      const isAgain = now.step === last && now.step !== "copy";
      last = now.step;
      if (isAgain) throw unchanged(id, `step ${now.step} was done, and is next again`);
      failures = 0;
    } catch (thrown) {
      const error = toDriverError(thrown);
      failures += 1;
      if (signal.aborted || failures > MOST_FAILURES || !TRANSIENT.has(error.code)) throw error;
      await clock.sleep(backoffDelay(failures, PAUSES), signal);
    }
  }
}

const unchanged = (id: VolumeId, detail: string): Error =>
  failure("rdsBusy", { what: `convert volume ${id}`, detail });

/** The step that copies, a part at a time. */
class CopyPart {
  readonly #options: ConvertOptions;
  /** What this process has seen copied, beyond what the record with this text says. */
  #proven: { readonly comment: string; readonly done: bigint } | undefined;
  /** The record with a line in it, and since when this process sees it. */
  #busy: { readonly comment: string; readonly since: number } | undefined;

  constructor(options: ConvertOptions) {
    this.#options = options;
  }

  async part(now: Conversion, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const target = store.target(now);
    if (target === undefined) return store.run(now, signal);
    if (target.record.copy.isBusy) return this.#wait(target, signal);
    const { copy } = target.record;
    const isLast = this.#proven?.comment === target.disk.comment;
    const done = isLast && this.#proven !== undefined ? this.#proven.done : copy.done;
    if (done === copy.total) {
      if (!(await store.copied(target, signal)))
        throw unchanged(now.id, "its new file is not as it was read");
      return;
    }
    if (now.volume === undefined) throw failure("internal", { what: "a copy without its source" });
    await this.#chunk(target, now.volume, done, signal);
  }

  async #chunk(target: CopyTarget, source: RdsVolume, done: bigint, signal: AbortSignal): Promise<void> {
    const { store, sizes, clock, report } = this.#options;
    const { total } = target.record.copy;
    const size = total - done < sizes.now ? total - done : sizes.now;
    const since = clock.monotonic();
    try {
      const result = await store.chunk(target, source, done, size, signal);
      if (result.kind === "changed") throw unchanged(target.id, "an end of the copy is not as it was read");
      sizes.took(size, clock.monotonic() - since);
      this.#proven = { comment: result.target.disk.comment, done: done + size };
      report("copy", { done: done + size, total });
    } catch (error) {
      sizes.failed();
      throw error;
    }
  }

  /** A line copies into the new file: of another process, or one that was lost. */
  async #wait(target: CopyTarget, signal: AbortSignal): Promise<void> {
    const { store, clock } = this.#options;
    const { comment } = target.disk;
    const now = clock.monotonic();
    if (this.#busy?.comment !== comment) this.#busy = { comment, since: now };
    if (now - this.#busy.since < LINE_LIMIT_MS) await clock.sleep(LOOK_MS, signal);
    else await store.free(target, signal);
  }
}
