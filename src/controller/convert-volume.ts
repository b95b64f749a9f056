import { backoffDelay } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { failure, toDriverError } from "../domain/errors/driver-error.ts";
import { GrpcCode } from "../domain/errors/grpc-code.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ConversionStore } from "../rds/convert.ts";
import type { Conversion, ConversionStep } from "../rds/convert-steps.ts";
import { type ChunkSpec, type CopyTarget, copiedBytes, type SeenCopied } from "../rds/copy.ts";
import { SETTLE_MS } from "../rds/copy-end.ts";
import type { ChunkSize } from "./chunk-size.ts";
import { LINE_LIMIT_MS } from "./copy-work.ts";

export interface ConvertOptions {
  readonly store: ConversionStore;
  readonly clock: Clock;
  readonly sizes: ChunkSize;
  /** Called before each step, and behind each part of the copy with the bytes that are copied. */
  readonly report: (step: ConversionStep, copied?: { readonly done: bigint; readonly total: bigint }) => void;
  /** Called when the copy is whole, with the time until it counts; milliseconds. */
  readonly waits: (ms: number) => void;
  /** How long a copy that is whole waits, for tests; left out: `SETTLE_MS`. */
  readonly settleMs?: number | undefined;
}

/** Waits after failures, milliseconds, and how many in a row end the work. */
const PAUSES = { firstMs: 500, maxMs: 15_000 };
const MOST_FAILURES = 12;
/** How often the new file is looked at while a line of another process copies into it, milliseconds. */
const LOOK_MS = 2_000;
/** A new file that shows no size for so long is made anew, once. No hardware has shown how long a large one takes. Milliseconds. */
const SIZE_LIMIT_MS = 600_000;

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
  #seen: SeenCopied | undefined;
  /** The record of a new file that cannot be filled now, and since when this process sees it. */
  #stuck: { readonly comment: string; readonly since: number } | undefined;
  #isRemade = false;

  constructor(options: ConvertOptions) {
    this.#options = options;
  }

  async part(now: Conversion, signal: AbortSignal): Promise<void> {
    const { store } = this.#options;
    const target = store.target(now);
    if (target === undefined) return store.run(now, signal);
    const { isBusy } = target.record.copy;
    // A line copies into it: of another process, or one that was lost.
    if (isBusy) return this.#wait(target, LINE_LIMIT_MS, () => store.free(target, signal), signal);
    // It is not ready yet; or a power loss has emptied it, and both file and item are made anew.
    if (target.disk.size === undefined)
      return this.#wait(target, SIZE_LIMIT_MS, () => this.#remake(now, signal), signal);
    const { volume: source, boot } = now;
    if (boot === undefined) throw failure("internal", { what: "a copy without the run of the RDS" });
    const done = copiedBytes(target, this.#seen, boot);
    if (done === target.record.copy.total) return this.#end(target, signal);
    if (source === undefined) throw failure("internal", { what: "a copy without its source" });
    await this.#chunk({ target, source, done, boot, signal });
  }

  /** Waits until the device has surely written what it copied last, then notes that the copy is whole. */
  async #end(target: CopyTarget, signal: AbortSignal): Promise<void> {
    const { store, clock, waits, settleMs = SETTLE_MS } = this.#options;
    const now = clock.monotonic();
    // By a record alone the copy is never whole; the time of another process is not known.
    if (this.#seen?.comment !== target.disk.comment)
      this.#seen = { comment: target.disk.comment, done: target.record.copy.total, at: now };
    const left = this.#seen.at + settleMs - now;
    if (left > 0) {
      waits(left);
      return clock.sleep(left, signal);
    }
    if (!(await store.copied(target, signal)))
      throw unchanged(target.id, "its new file is not as it was read, or the RDS has restarted");
  }

  async #chunk(spec: Omit<ChunkSpec, "size">): Promise<void> {
    const { store, sizes, clock, report } = this.#options;
    const { target, done } = spec;
    const { total } = target.record.copy;
    const size = total - done < sizes.now ? total - done : sizes.now;
    const since = clock.monotonic();
    try {
      const result = await store.chunk({ ...spec, size });
      if (result.kind === "changed") throw unchanged(target.id, "an end of the copy is not as it was read");
      const at = clock.monotonic();
      sizes.took(size, at - since);
      this.#seen = { comment: result.target.disk.comment, done: done + size, at };
      report("copy", { done: done + size, total });
    } catch (error) {
      sizes.failed();
      throw error;
    }
  }

  /** Removes the item of a new file that shows no size, so that both are made anew. @throws volumeNotReady (UNAVAILABLE) the second time */
  async #remake(now: Conversion, signal: AbortSignal): Promise<void> {
    if (this.#isRemade) throw failure("volumeNotReady", { volume: now.id });
    this.#isRemade = true;
    await this.#options.store.run(now, signal);
  }

  /** Waits for the new file, and gives up when that takes too long. @param limitMs milliseconds */
  async #wait(
    { disk: { comment } }: CopyTarget,
    limitMs: number,
    giveUp: () => Promise<void>,
    signal: AbortSignal,
  ): Promise<void> {
    const { clock } = this.#options;
    const now = clock.monotonic();
    if (this.#stuck?.comment !== comment) this.#stuck = { comment, since: now };
    if (now - this.#stuck.since < limitMs) await clock.sleep(LOOK_MS, signal);
    else await giveUp();
  }
}
