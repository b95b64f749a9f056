import { retry } from "../domain/backoff.ts";
import type { Clock } from "../domain/clock.ts";
import { isFailure } from "../domain/errors/driver-error.ts";
import type { Logger } from "../observability/log.ts";
import type { KubernetesApi } from "./api.ts";
import { ApiStatusError } from "./api-error.ts";
import { type EventSource, eventName, eventObject, eventPatch } from "./event-object.ts";
import { EventSeries, type PendingEvent, type Series } from "./event-series.ts";
import type { ClaimEvent, ClaimRef, ClusterReader, EventSink } from "./port.ts";

export interface EventReporterDeps {
  readonly api: KubernetesApi;
  readonly reader: Pick<ClusterReader, "persistentVolumeByHandle">;
  readonly reporter: EventSource;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Events that may wait; more are dropped, with a line in the log. */
const QUEUE = 1_000;
/** How often one event is tried, and the waits in between. */
const TRIES = { attempts: 6, firstMs: 500, maxMs: 30_000 };

type Waiting = { readonly event: ClaimEvent; readonly at: number } & (
  | { readonly claim: ClaimRef }
  | { readonly handle: string }
);

/**
 * The one reporter of events in this process: a bounded queue and one worker, so that events of one claim keep their
 * order and no RPC waits for them.
 */
export class EventReporter implements EventSink {
  readonly #deps: EventReporterDeps;
  readonly #series = new EventSeries();
  readonly #stop = new AbortController();
  readonly #queue: Waiting[] = [];
  #worker: Promise<void> | undefined;
  #closed = false;
  #dropped = 0;

  constructor(deps: EventReporterDeps) {
    this.#deps = deps;
  }

  post({ claim, ...event }: ClaimEvent & { readonly claim: ClaimRef }): void {
    this.#enqueue({ claim, event, at: this.#deps.clock.now() });
  }

  postForVolume(handle: string, event: ClaimEvent): void {
    this.#enqueue({ handle, event, at: this.#deps.clock.now() });
  }

  /** Takes no more events and waits until the queue is empty, at most `deadlineMs`; then gives up the rest. */
  async close(deadlineMs: number): Promise<void> {
    const { clock, logger } = this.#deps;
    const done = new AbortController();
    this.#closed = true;
    if (deadlineMs > 0)
      await Promise.race([this.#worker, clock.sleep(deadlineMs, done.signal).catch(() => {})]);
    done.abort();
    this.#stop.abort();
    if (this.#queue.length > 0) logger.warn("events given up at shutdown", { count: this.#queue.length });
    this.#queue.length = 0;
    await this.#worker;
  }

  #enqueue(waiting: Waiting): void {
    if (this.#closed) return;
    if (this.#queue.length >= QUEUE) {
      this.#dropped += 1;
      if (this.#dropped === 1)
        this.#deps.logger.warn("events are dropped, as too many wait", { limit: QUEUE });
      return;
    }
    this.#queue.push(waiting);
    this.#worker ??= this.#work();
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      await this.#deliver(next);
      if (this.#stop.signal.aborted) return;
    }
    this.#worker = undefined;
    if (this.#dropped > 0) this.#deps.logger.warn("events were dropped", { count: this.#dropped });
    this.#dropped = 0;
  }

  /** Never throws: an event is not worth more than a line in the log. */
  async #deliver(waiting: Waiting): Promise<void> {
    const { clock, logger, random } = this.#deps;
    const { type, reason, message } = waiting.event;
    const claim =
      "claim" in waiting ? waiting.claim : await this.#retried(waiting, () => this.#claimOf(waiting));
    if (claim === undefined) return;
    const event: PendingEvent = { type, reason, message, claim };
    const admitted = this.#series.admit(event, waiting.at, clock.monotonic(), random);
    if (admitted === undefined) {
      logger.debug("event left out, as there were too many for this claim", { reason, message });
      return;
    }
    const { series } = admitted;
    await this.#retried(waiting, async () => {
      const done = series.created && (await this.#patch(event, admitted.message, series, waiting.at));
      if (!done) await this.#create(event, admitted.message, series, waiting.at);
    });
  }

  async #claimOf({ handle }: { readonly handle: string }): Promise<ClaimRef | undefined> {
    const { signal } = this.#stop;
    const volume = await this.#deps.reader.persistentVolumeByHandle(handle, signal);
    if (volume?.claim === undefined)
      this.#deps.logger.debug("no claim to report the event on", { volume: handle });
    return volume?.claim;
  }

  async #create(event: PendingEvent, message: string, series: Series, at: number): Promise<void> {
    const { api, reporter } = this.#deps;
    const { namespace } = event.claim;
    const body = eventObject(event, message, series, reporter, at);
    try {
      await api.attempt(this.#stop.signal, (options) =>
        api.core.createNamespacedEvent({ namespace, body }, options),
      );
    } catch (error) {
      // The answer to an earlier attempt was lost.
      if (!(error instanceof ApiStatusError) || error.details?.reason !== "AlreadyExists") throw error;
    }
    series.created = true;
  }

  /** False when the object has gone meanwhile: events live for an hour. */
  async #patch(event: PendingEvent, message: string, series: Series, at: number): Promise<boolean> {
    const { api } = this.#deps;
    const { namespace } = event.claim;
    const params = { namespace, name: eventName(event, series), body: eventPatch(message, series, at) };
    try {
      await api.attempt(
        this.#stop.signal,
        (options) => api.core.patchNamespacedEvent(params, options),
        MERGE_PATCH,
      );
      return true;
    } catch (error) {
      if (error instanceof ApiStatusError && error.status === 404) return false;
      throw error;
    }
  }

  /** Repeats work that may succeed later. Returns undefined, and logs a line, if it did not succeed. */
  async #retried<T>({ event }: Waiting, work: () => Promise<T>): Promise<T | undefined> {
    const { clock, logger, random } = this.#deps;
    const { signal } = this.#stop;
    const fields = (error: unknown) => ({ reason: event.reason, message: event.message, error });
    const again = (error: unknown) => {
      if (!isPassing(error)) return undefined;
      logger.debug("event is tried again", fields(error));
      return error instanceof ApiStatusError ? (error.retryAfterMs ?? 0) : 0;
    };
    try {
      return await retry(work, { ...TRIES, clock, random, signal, again });
    } catch (error) {
      if (!signal.aborted) logger.warn("event could not be delivered", fields(error));
      return undefined;
    }
  }
}

const MERGE_PATCH = { headers: { "Content-Type": "application/merge-patch+json" } };

/** Whether a later attempt may succeed: a namespace that is gone or being deleted (403) takes no events any more. */
function isPassing(error: unknown): boolean {
  if (error instanceof ApiStatusError) return error.status === 429 || error.status >= 500;
  const final = ["kubernetesForbidden", "kubernetesRejected", "persistentVolumeAmbiguous"] as const;
  return !final.some((id) => isFailure(error, id));
}
