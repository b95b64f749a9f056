import { orAborted } from "../domain/abort.ts";
import type { VolumeId } from "../domain/volume-id.ts";
import type { Logger } from "../observability/log.ts";
import { RecurringFailure } from "../observability/recurring-failure.ts";

/** The result of the visit to one volume. */
export type Visit<R> = { readonly result: R } | { readonly error: unknown };

/** How long a round and one visit may take. */
export interface RoundLimits {
  /** Ends the round at once. */
  readonly signal: AbortSignal;
  /** Aborts when the time of the round is over, or with `signal`. */
  readonly within: AbortSignal;
  /** Milliseconds for one visit. */
  readonly volumeMs: number;
}

/**
 * Visits volumes one after the other. A visit that fails or takes too long is logged, and the next volume is visited. A round
 * that runs out of time continues in the next round. So every volume gets its turn.
 */
export class FairRound<V extends { readonly id: VolumeId }> {
  readonly #logger: Logger;
  /** Volumes whose last visit failed. */
  readonly #failing = new Map<VolumeId, RecurringFailure>();
  /** Where the next round begins. */
  #next: VolumeId | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** @returns the visits that were made; a volume that was not reached has none */
  async run<R>(
    volumes: readonly V[],
    visit: (volume: V, signal: AbortSignal) => Promise<R>,
    { signal, within, volumeMs }: RoundLimits,
  ): Promise<ReadonlyMap<VolumeId, Visit<R>>> {
    const visits = new Map<VolumeId, Visit<R>>();
    const listed = new Set(volumes.map(({ id }) => id));
    for (const id of this.#failing.keys()) if (!listed.has(id)) this.#failing.delete(id);
    const order = this.#inTurn(volumes);
    this.#next = undefined;
    for (const [index, volume] of order.entries()) {
      if (within.aborted) {
        this.#next = volume.id;
        const left = order.length - index;
        if (!signal.aborted)
          this.#logger.warn("reconcile ran out of time, the next look goes on from here", { left });
        break;
      }
      const made = await this.#visit(volume, visit, AbortSignal.any([within, AbortSignal.timeout(volumeMs)]));
      if (signal.aborted) break;
      visits.set(volume.id, made);
    }
    return visits;
  }

  /** All volumes, beginning with the first that the last round did not reach. */
  #inTurn(volumes: readonly V[]): readonly V[] {
    const next = this.#next;
    const sorted = volumes.toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const at = next === undefined ? 0 : sorted.findIndex(({ id }) => id >= next);
    return at <= 0 ? sorted : [...sorted.slice(at), ...sorted.slice(0, at)];
  }

  async #visit<R>(
    volume: V,
    visit: (volume: V, signal: AbortSignal) => Promise<R>,
    limit: AbortSignal,
  ): Promise<Visit<R>> {
    const { id } = volume;
    try {
      // Not all work heeds its signal at once.
      const result = await orAborted(visit(volume, limit), limit);
      this.#failing.get(id)?.worked();
      this.#failing.delete(id);
      return { result };
    } catch (error) {
      const failures =
        this.#failing.get(id) ?? new RecurringFailure(this.#logger, `reconcile of volume ${id}`);
      this.#failing.set(id, failures);
      failures.failed(error);
      return { error };
    }
  }
}
