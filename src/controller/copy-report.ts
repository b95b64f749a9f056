import type { Clock } from "../domain/clock.ts";
import { shortSize } from "../domain/size.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { ClaimEvent, EventSink } from "../kubernetes/port.ts";
import type { Logger } from "../observability/log.ts";
import { type CopyTarget, copyProgress } from "../rds/copy.ts";
import type { RdsVolume } from "../rds/volume.ts";
import { claimUidIn } from "./left-behind.ts";

export interface CopyReportOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly events: EventSink | undefined;
}

/** Least times between two reports of one copy, milliseconds. */
const LOG_MS = 15_000;
const EVENT_MS = 60_000;

/** Tells how far one copy is: in the log, and on the claim of the new volume. */
export class CopyReport {
  readonly #options: CopyReportOptions;
  readonly #since: number;
  #logged = Number.NEGATIVE_INFINITY;
  #posted = Number.NEGATIVE_INFINITY;
  /** Bytes that were copied when this process began. */
  #first: bigint | undefined;

  constructor(options: CopyReportOptions) {
    this.#options = options;
    this.#since = options.clock.monotonic();
  }

  /** Called with the target as often as it is known anew. */
  progress({ id, record }: CopyTarget, source: VolumeId): void {
    const { clock, logger } = this.#options;
    const { copy } = record;
    this.#first ??= copy.done;
    const now = clock.monotonic();
    const fields = { volume: id, source, progress: copyProgress(copy), ...this.#pace(copy.done, copy.total) };
    if (now - this.#logged >= LOG_MS) {
      this.#logged = now;
      logger.info("copying a volume", fields);
    }
    if (now - this.#posted < EVENT_MS) return;
    this.#posted = now;
    const left = fields.secondsLeft === undefined ? "" : `, about ${fields.secondsLeft} s left`;
    const message = `Copying from volume ${source}: ${fields.progress}${left}`;
    this.#post(record, { type: "Normal", reason: "CopyRunning", message });
  }

  finished({ id, record, disk }: RdsVolume, source: VolumeId): void {
    const { clock, logger } = this.#options;
    const seconds = Math.round((clock.monotonic() - this.#since) / 1_000);
    logger.info("copied a volume", { volume: id, source, seconds });
    const message = `Copied from volume ${source}; the volume has ${shortSize(disk.size ?? 0n)}`;
    this.#post(record, { type: "Normal", reason: "CopyCompleted", message });
  }

  /** Seconds that the rest will take, once there is a pace. */
  #pace(done: bigint, total: bigint): { readonly secondsLeft?: number } {
    const copied = Number(done - (this.#first ?? done));
    const seconds = (this.#options.clock.monotonic() - this.#since) / 1_000;
    if (copied <= 0 || seconds <= 0) return {};
    return { secondsLeft: Math.ceil((Number(total - done) / copied) * seconds) };
  }

  #post({ claim, name }: RdsVolume["record"], event: ClaimEvent): void {
    const uid = claimUidIn(name);
    // The PersistentVolume, which names the claim otherwise, does not exist yet.
    if (claim !== undefined && uid !== undefined)
      this.#options.events?.post({ claim: { ...claim, uid }, ...event });
  }
}
