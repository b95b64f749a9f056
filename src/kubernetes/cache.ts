import type { Clock } from "../domain/clock.ts";
import type { Logger } from "../observability/log.ts";
import { ApiStatusError } from "./api-error.ts";
import { type BackoffLimits, jitteredBackoff } from "./backoff.ts";
import type { Listed } from "./list.ts";
import type { ApiTransport } from "./transport.ts";
import { type RawObject, watchOnce } from "./watch.ts";

/** What a cache keeps and how it is read. `V` is the driver's view of an object of kind `R`. */
export interface CachedResource<R extends RawObject, V> {
  /** For the log: volumeattachments. */
  readonly resource: string;
  /** Path of the collection. */
  readonly path: string;
  /** Media types of the watch. */
  readonly accept: string;
  readonly list: (signal: AbortSignal) => Promise<Listed<R>>;
  /** Undefined for objects that are none of the driver's business. */
  readonly view: (object: R) => V | undefined;
}

export interface CacheDeps {
  readonly transport: ApiTransport;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  readonly limits?: Partial<CacheLimits>;
}

export interface CacheLimits {
  /** See WatchOptions; each watch takes between this and twice this, at random. */
  readonly timeoutSeconds: number;
  readonly silenceMs: number;
  readonly backoff: BackoffLimits;
  /** A watch that ends sooner counts as failed, so that a server that ends each at once is not hammered. */
  readonly shortWatchMs: number;
}

const DEFAULT_LIMITS: CacheLimits = {
  timeoutSeconds: 240,
  silenceMs: 150_000,
  backoff: { firstMs: 500, maxMs: 30_000 },
  shortWatchMs: 1_000,
};

/**
 * A local copy of a collection, kept by list and watch. It survives everything: it resumes where it was, lists again
 * after 410 Gone, and keeps its last content while the API is away; `fresh` says whether it is up to date.
 */
export class ResourceCache<R extends RawObject, V> {
  /** Resolves after the first complete list; never rejects. */
  readonly synced: Promise<void>;
  readonly #resource: CachedResource<R, V>;
  readonly #deps: CacheDeps;
  readonly #limits: CacheLimits;
  #objects = new Map<string, V>();
  #resourceVersion = "";
  #hasSynced = false;
  #watching = false;
  #failures = 0;
  #markSynced: () => void = () => {};

  constructor(resource: CachedResource<R, V>, deps: CacheDeps) {
    this.#resource = resource;
    this.#deps = deps;
    this.#limits = { ...DEFAULT_LIMITS, ...deps.limits };
    this.synced = new Promise((resolve) => {
      this.#markSynced = resolve;
    });
  }

  /** Whether the content is complete and a watch keeps it current. If not, ask the API server. */
  get fresh(): boolean {
    return this.#hasSynced && this.#watching;
  }

  get hasSynced(): boolean {
    return this.#hasSynced;
  }

  get(name: string): V | undefined {
    return this.#objects.get(name);
  }

  values(): readonly V[] {
    return [...this.#objects.values()];
  }

  /** Keeps the copy current until `signal` aborts. Never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === "") await this.#list(signal);
        await this.#watch(signal);
      } catch (error) {
        if (signal.aborted) break;
        await this.#recover(error, signal);
      }
    }
  }

  async #list(signal: AbortSignal): Promise<void> {
    const { items, resourceVersion } = await this.#resource.list(signal);
    if (resourceVersion === "") throw new Error("the list has no resourceVersion");
    const objects = new Map<string, V>();
    for (const object of items) {
      const view = this.#resource.view(object);
      if (view !== undefined) objects.set(nameOf(object), view);
    }
    this.#objects = objects;
    this.#resourceVersion = resourceVersion;
    this.#hasSynced = true;
    this.#markSynced();
  }

  async #watch(signal: AbortSignal): Promise<void> {
    try {
      await this.#watchOnce(signal);
    } finally {
      this.#watching = false;
    }
  }

  async #watchOnce(signal: AbortSignal): Promise<void> {
    const { clock, random, transport } = this.#deps;
    const started = clock.monotonic();
    const ended = new AbortController();
    let events = 0;
    const watch = watchOnce(transport, {
      path: this.#resource.path,
      accept: this.#resource.accept,
      resourceVersion: this.#resourceVersion,
      timeoutSeconds: Math.ceil(this.#limits.timeoutSeconds * (1 + random())),
      silenceMs: this.#limits.silenceMs,
      clock,
      signal,
      onOpen: () => {
        this.#watching = true;
        // The next object may be hours away, and nobody should wait for it to read that all is well again.
        const restored = () => this.#restored();
        if (this.#failures > 0) clock.sleep(this.#limits.shortWatchMs, ended.signal).then(restored, () => {});
      },
      onEvent: ({ type, object }) => {
        events += 1;
        this.#restored();
        this.#apply(type, object as R);
        this.#resourceVersion = object.metadata?.resourceVersion ?? this.#resourceVersion;
      },
    });
    await watch.finally(() => ended.abort());
    if (events === 0 && clock.monotonic() - started < this.#limits.shortWatchMs)
      throw new Error("the API server ended the watch at once");
    this.#restored();
  }

  #apply(type: string, object: R): void {
    if (type === "BOOKMARK") return;
    const name = nameOf(object);
    const view = type === "DELETED" ? undefined : this.#resource.view(object);
    if (view === undefined) this.#objects.delete(name);
    else this.#objects.set(name, view);
  }

  /** One line per change of state: the first failure and the recovery. */
  async #recover(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, logger, random } = this.#deps;
    const status = error instanceof ApiStatusError ? error : undefined;
    if (status?.status === 410 && this.#resourceVersion !== "") {
      logger.debug("watch expired, listing again", { resource: this.#resource.resource });
      this.#resourceVersion = "";
      return;
    }
    this.#failures += 1;
    const fields = { resource: this.#resource.resource, reason: (error as Error)?.message ?? String(error) };
    if (this.#failures === 2) logger.warn("watch interrupted, trying again", fields);
    else logger.debug("watch interrupted", fields);
    const wait = jitteredBackoff(this.#failures, this.#limits.backoff, random);
    await clock.sleep(Math.max(wait, status?.retryAfterMs ?? 0), signal).catch(() => {});
  }

  #restored(): void {
    if (this.#failures >= 2) this.#deps.logger.info("watch restored", { resource: this.#resource.resource });
    this.#failures = 0;
  }
}

function nameOf(object: RawObject): string {
  const name = object.metadata?.name;
  if (name === undefined) throw new Error("an object of the API server has no name");
  return name;
}
