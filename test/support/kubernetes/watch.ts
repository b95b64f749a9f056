import type { ServerResponse } from "node:http";
import type { KubeObject, ResourceType } from "./objects.ts";
import {
  matches,
  type ObjectStore,
  type Selection,
  type StatusError,
  type StoredEvent,
  typeMeta,
} from "./store.ts";

export interface WatchRequest {
  readonly type: ResourceType;
  readonly selection: Selection;
  /** Undefined or 0: begins with everything that exists. */
  readonly resourceVersion: number | undefined;
  readonly bookmarks: boolean;
  readonly timeoutSeconds: number | undefined;
  readonly render: (object: KubeObject) => KubeObject;
}

/** How watches misbehave, read at each write. */
export interface WatchFaults {
  /** Bytes per write; 0 means whole lines. */
  splitBytes: number;
  /** Sends nothing at all, keeps connections open. */
  silent: boolean;
}

/** One watch connection of the fake API server. */
export class FakeWatch {
  readonly type: ResourceType;
  readonly #request: WatchRequest;
  readonly #response: ServerResponse;
  readonly #faults: WatchFaults;
  readonly #end: () => void;
  #queue: Promise<void> = Promise.resolve();

  constructor(store: ObjectStore, request: WatchRequest, response: ServerResponse, faults: WatchFaults) {
    this.type = request.type;
    this.#request = request;
    this.#response = response;
    this.#faults = faults;
    response.writeHead(200, { "Content-Type": "application/json" });
    response.flushHeaders();
    const unsubscribe = store.subscribe((event) => this.#deliver(event));
    const timer =
      request.timeoutSeconds === undefined
        ? undefined
        : setTimeout(() => this.finish(), request.timeoutSeconds * 1000);
    this.#end = () => {
      unsubscribe();
      clearTimeout(timer);
    };
    response.on("close", this.#end);
    this.#replay(store);
  }

  /** Regular end. */
  finish(): void {
    this.#end();
    void this.#queue.then(() => this.#response.end());
  }

  /** Cuts the connection, in the middle of a line. */
  drop(): void {
    this.#end();
    this.#response.write('{"type":"ADDED","object":{"metada');
    this.#response.socket?.destroy();
  }

  bookmark(resourceVersion: number): void {
    if (!this.#request.bookmarks) return;
    const metadata = { resourceVersion: String(resourceVersion) };
    this.#write({ type: "BOOKMARK", object: { ...typeMeta(this.type), metadata } });
  }

  /** An ERROR event, then the end. */
  error(error: StatusError): void {
    const { code, reason, message } = error;
    const status = { kind: "Status", apiVersion: "v1", status: "Failure", code, reason, message };
    this.#write({ type: "ERROR", object: status });
    this.finish();
  }

  #replay(store: ObjectStore): void {
    const from = this.#request.resourceVersion;
    if (!from) {
      for (const object of store.select(this.type, this.#request.selection))
        this.#write({ type: "ADDED", object: this.#request.render(object) });
      return;
    }
    try {
      for (const event of store.since(from)) this.#deliver(event);
    } catch (error) {
      this.error(error as StatusError);
    }
  }

  /** An object that a selector no longer selects is deleted, as far as this watch is concerned. */
  #deliver(event: StoredEvent): void {
    if (event.resource !== this.type) return;
    const { selection, render } = this.#request;
    const before = event.before !== undefined && matches(selection, event.before);
    const now = event.type !== "DELETED" && matches(selection, event.object);
    if (!before && !now) return;
    const type = now ? (before ? "MODIFIED" : "ADDED") : "DELETED";
    this.#write({ type, object: render(event.object) });
  }

  #write(event: KubeObject): void {
    if (this.#faults.silent) return;
    const bytes = Buffer.from(`${JSON.stringify(event)}\n`);
    const step = this.#faults.splitBytes || bytes.length;
    this.#queue = this.#queue.then(async () => {
      for (let at = 0; at < bytes.length && !this.#response.destroyed; at += step) {
        this.#response.write(bytes.subarray(at, at + step));
        if (step < bytes.length) await new Promise((resolve) => setImmediate(resolve));
      }
    });
  }
}
