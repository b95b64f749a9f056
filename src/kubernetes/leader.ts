import { linkAbort } from "../domain/abort.ts";
import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import type { KubernetesApi } from "./api.ts";
import { LeaseConflict, type LeaseObject, type LeaseRecord, leaseObject } from "./lease.ts";

// Times of the election in milliseconds, as client-go and the sidecars have them.
/** Others take the lease over when it has not changed for so long. Whole seconds. */
const LEASE_MS = 15_000;
/** Who could not renew for so long stops, well before others may begin. */
const RENEW_DEADLINE_MS = 10_000;
const RETRY_MS = 2_000;
const MAX_CALL_MS = 5_000;
const RELEASE_MS = 2_000;

export interface LeaderDeps {
  readonly api: KubernetesApi;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** A background loop that only one replica may run. */
export interface LeaderOptions {
  /** Name of the Lease object. */
  readonly name: string;
  readonly namespace: string;
  /** This replica, unique among replicas: the pod's name. */
  readonly identity: string;
  /** Runs as long as the lease is held; must stop soon after the signal aborts. */
  readonly onStarted: (signal: AbortSignal) => Promise<void>;
}

/**
 * Leader election by Lease. Clocks of different hosts are never compared: a candidate waits until it has itself seen
 * the lease unchanged for its whole duration, and a leader stops by its own monotonic clock, counted from before the
 * renewal that succeeded last was sent.
 */
export class LeaseElection {
  readonly #deps: LeaderDeps;

  constructor(deps: LeaderDeps) {
    this.#deps = deps;
  }

  /**
   * Takes part in the election until `signal` aborts, then gives the lease back. Never throws. Losing the lease
   * aborts the signal of `onStarted` before anybody else can hold it.
   */
  async runAsLeader(options: LeaderOptions, signal: AbortSignal): Promise<void> {
    const lease = leaseObject(this.#deps.api, options.namespace, options.name, this.#deps.clock);
    while (!signal.aborted) {
      const term = await this.#acquire(lease, options.identity, signal);
      if (term !== undefined) await this.#lead(lease, term, options, signal);
    }
  }

  /** Waits until the lease is free and takes it; undefined when the signal aborts. */
  async #acquire(lease: LeaseObject, identity: string, signal: AbortSignal): Promise<Term | undefined> {
    const { clock, logger } = this.#deps;
    let seen: { readonly version: string; readonly at: number } | undefined;
    let complained = false;
    while (!signal.aborted) {
      try {
        const found = await lease.read(signal, MAX_CALL_MS);
        if (found !== undefined && seen?.version !== found.version)
          seen = { version: found.version, at: clock.monotonic() };
        if (isFree(found, identity, clock.monotonic() - (seen?.at ?? 0))) {
          const renewedAt = clock.monotonic();
          const record = await lease.write(identity, LEASE_MS / 1000, found, signal, MAX_CALL_MS);
          return { record, renewedAt };
        }
        complained = false;
      } catch (error) {
        if (!signal.aborted && !(error instanceof LeaseConflict) && !complained) {
          complained = true;
          logger.warn("lease cannot be read or taken, trying again", { error });
        }
      }
      await this.#pause(signal);
    }
    return undefined;
  }

  async #lead(lease: LeaseObject, term: Term, options: LeaderOptions, signal: AbortSignal): Promise<void> {
    const { logger } = this.#deps;
    const fields = { lease: `${options.namespace}/${options.name}`, identity: options.identity };
    logger.info("leading", fields);
    const leading = new AbortController();
    const unlink = linkAbort(signal, leading);
    const work = options.onStarted(leading.signal).catch((error: unknown) => {
      if (!leading.signal.aborted) logger.error("background loop failed", { ...fields, error });
    });
    let ended = false;
    const finished = work.then(() => {
      ended = true;
      leading.abort(new Error("the background loop has ended"));
    });
    const kept = await this.#keep(lease, term, options.identity, leading.signal);
    if (!kept) logger.warn("lease lost, stopping", fields);
    leading.abort(new Error("the lease was lost"));
    await finished;
    unlink();
    if (kept) await this.#release(lease, term, options.identity);
    logger.info("not leading any more", fields);
    // A loop that ends by itself is started again, here or elsewhere.
    if (ended && kept) await this.#pause(signal);
  }

  /** Renews until the signal aborts (true) or the lease is lost (false). */
  async #keep(lease: LeaseObject, term: Term, identity: string, signal: AbortSignal): Promise<boolean> {
    const { clock, logger } = this.#deps;
    while (!signal.aborted) {
      await this.#pause(signal, this.#left(term));
      if (signal.aborted) break;
      const sentAt = clock.monotonic();
      const left = this.#left(term);
      if (left <= 0) return false;
      try {
        const timeout = Math.min(left, MAX_CALL_MS);
        term.record = await lease.write(identity, LEASE_MS / 1000, term.record, signal, timeout);
        term.renewedAt = sentAt;
      } catch (error) {
        if (signal.aborted) break;
        logger.debug("lease not renewed", { error });
        if (error instanceof LeaseConflict && !(await this.#stillOurs(lease, term, identity, signal)))
          return false;
      }
    }
    return true;
  }

  /** After a conflict: an earlier renewal may have been executed although its answer was lost. */
  async #stillOurs(lease: LeaseObject, term: Term, identity: string, signal: AbortSignal): Promise<boolean> {
    const left = this.#left(term);
    if (left <= 0) return false;
    try {
      const found = await lease.read(signal, Math.min(left, MAX_CALL_MS));
      if (found?.holder !== identity) return false;
      term.record = found;
    } catch {
      // Unknown: the deadline decides.
    }
    return true;
  }

  /** Gives the lease back, so that others need not wait until it ends. */
  async #release(lease: LeaseObject, term: Term, identity: string): Promise<void> {
    const { signal } = new AbortController();
    try {
      try {
        await lease.write("", 1, term.record, signal, RELEASE_MS);
      } catch (error) {
        // The stop may have interrupted a renewal that was executed.
        if (!(error instanceof LeaseConflict)) throw error;
        const found = await lease.read(signal, RELEASE_MS);
        if (found?.holder === identity) await lease.write("", 1, found, signal, RELEASE_MS);
      }
    } catch (error) {
      this.#deps.logger.debug("lease not given back", { error });
    }
  }

  /** Milliseconds until a leader that cannot renew must stop. */
  #left(term: Term): number {
    return term.renewedAt + RENEW_DEADLINE_MS - this.#deps.clock.monotonic();
  }

  /** Between the retry time and a fifth more, so that candidates do not collide for ever. */
  async #pause(signal: AbortSignal, mostMs = Number.POSITIVE_INFINITY): Promise<void> {
    const { clock, random } = this.#deps;
    const ms = Math.min(RETRY_MS * (1 + random() * 0.2), mostMs);
    if (ms > 0) await clock.sleep(ms, signal).catch(() => {});
  }
}

interface Term {
  record: LeaseRecord;
  /** Monotonic time before the last successful renewal was sent. */
  renewedAt: number;
}

/** @param unchangedMs how long this process has seen the lease unchanged */
function isFree(found: LeaseRecord | undefined, identity: string, unchangedMs: number): boolean {
  if (found === undefined || found.holder === "" || found.holder === identity) return true;
  return unchangedMs >= Math.max(1, found.durationSeconds) * 1000;
}
