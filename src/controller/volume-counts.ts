import type { Clock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { LastKnown } from "../domain/last-known.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Logger } from "../observability/log.ts";
import { inBackground } from "../observability/request-scope.ts";
import type { VolumeObserver } from "../rds/cache.ts";
import type { Rds } from "../rds/rds.ts";
import type { RdsVolume } from "../rds/volume.ts";

/**
 * Time without a list of all volumes after which one is read. A little longer than the interval of reconcile, whose list
 * counts as well: the replica that reconciles reads nothing for this. Milliseconds.
 */
export const REFRESH_MS = 65_000;
/** Time without a list after which the count is unknown. Milliseconds. */
export const COUNTS_MAX_AGE_MS = 180_000;
/** Pause before the first list. Milliseconds. */
export const FIRST_MS = 2_000;
/** Pause after a list that failed. Milliseconds. */
const RETRY_MS = 5_000;
/** Time for one list. Milliseconds. */
const LIMIT_MS = 15_000;

export interface VolumeCountsOptions {
  readonly rds: Rds;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Counts the volumes that are attached to two nodes, so that a scrape sends no command. The count follows each list, lookup and change of this
 * process, on every replica. Costs at most one RouterOS command per REFRESH_MS while the RDS answers.
 */
export class VolumeCounts implements VolumeObserver {
  readonly #options: VolumeCountsOptions;
  readonly #listed: LastKnown<true>;
  readonly #onTwoNodes = new Set<VolumeId>();
  #neverRead: string | undefined = "the RDS has not been read yet";

  constructor(options: VolumeCountsOptions) {
    this.#options = options;
    this.#listed = new LastKnown(options.clock, COUNTS_MAX_AGE_MS);
    options.rds.observe(this);
  }

  listed(volumes: readonly RdsVolume[]): void {
    this.#onTwoNodes.clear();
    for (const volume of volumes) this.seen(volume);
    this.#listed.set(true);
    this.#neverRead = undefined;
  }

  seen({ id, record }: RdsVolume): void {
    if (record.attachments.length === 2) this.#onTwoNodes.add(id);
    else this.#onTwoNodes.delete(id);
  }

  gone(id: VolumeId): void {
    this.#onTwoNodes.delete(id);
  }

  /**
   * Volumes that are attached to two nodes, which are the volumes in a live migration: a record has a migration exactly while it has two
   * attachments. undefined before the first list, and when the last one is too old.
   */
  onTwoNodes(): number | undefined {
    return this.#listed.get() === undefined ? undefined : this.#onTwoNodes.size;
  }

  /** Why the RDS has not been read since this process started; undefined from the first success on, for good. */
  get neverRead(): string | undefined {
    return this.#neverRead;
  }

  /** Lists all volumes now. One RouterOS command. Never throws. @returns whether the list arrived */
  async refresh(signal: AbortSignal): Promise<boolean> {
    const { rds, logger } = this.#options;
    try {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(LIMIT_MS)]);
      await inBackground("refresh", () => rds.list(limit));
      return true;
    } catch (error) {
      if (signal.aborted) return false;
      logger.debug("the volumes could not be listed", { error });
      if (this.#neverRead !== undefined)
        this.#neverRead = error instanceof DriverError ? error.summary : String(error);
      return false;
    }
  }

  /**
   * Lists whenever this process has not listed for REFRESH_MS, until `signal` aborts; at first after FIRST_MS, as the list with which
   * reconcile starts serves as well. Never throws.
   */
  async run(signal: AbortSignal): Promise<void> {
    let pause = FIRST_MS;
    for (;;) {
      await this.#options.clock.sleep(pause, signal).catch(() => {});
      if (signal.aborted) return;
      const left = REFRESH_MS - this.#listed.ageMs;
      pause = left > 0 ? left : (await this.refresh(signal)) ? REFRESH_MS : RETRY_MS;
    }
  }
}
