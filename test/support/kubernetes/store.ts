import { randomUUID } from "node:crypto";
import { fieldsMatch, type KubeObject, labelsMatch, type ResourceType } from "./objects.ts";

/** An error answer, as a Status object has it. */
export class StatusError extends Error {
  readonly code: number;
  readonly reason: string;
  readonly retryAfter: number | undefined;
  constructor(code: number, reason: string, message: string, retryAfter?: number) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.retryAfter = retryAfter;
  }
}

export interface Selection {
  readonly namespace?: string | undefined;
  readonly fieldSelector?: string | undefined;
  readonly labelSelector?: string | undefined;
}

interface Snapshot {
  readonly items: readonly KubeObject[];
  readonly resourceVersion: number;
}

/** The objects of a cluster with the API server's semantics: one resourceVersion for all. */
export class ObjectStore {
  readonly #objects = new Map<string, KubeObject>();
  readonly #snapshots = new Map<string, Snapshot>();
  #resourceVersion = 1000;

  get resourceVersion(): number {
    return this.#resourceVersion;
  }

  get(type: ResourceType, namespace: string | undefined, name: string): KubeObject {
    const found = this.#objects.get(keyOf(type, namespace, name));
    if (found === undefined)
      throw new StatusError(404, "NotFound", `${type.resource} ${JSON.stringify(name)} not found`);
    return found;
  }

  /** All objects of a type, sorted by key. */
  select(type: ResourceType, selection: Selection = {}): KubeObject[] {
    const prefix = keyOf(type, selection.namespace, "");
    return [...this.#objects]
      .filter(([key, object]) => key.startsWith(prefix) && matches(selection, object))
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, object]) => object);
  }

  create(type: ResourceType, namespace: string | undefined, input: KubeObject): KubeObject {
    const given = input.metadata ?? {};
    const name =
      given.name ?? (given.generateName ? given.generateName + randomUUID().slice(0, 5) : undefined);
    if (typeof name !== "string" || name === "")
      throw new StatusError(422, "Invalid", "metadata.name or metadata.generateName is required");
    if (given.resourceVersion)
      throw new StatusError(400, "BadRequest", "resourceVersion should not be set on objects to be created");
    const place = this.#place(type, namespace, given.namespace);
    const key = keyOf(type, place, name);
    if (this.#objects.has(key))
      throw new StatusError(409, "AlreadyExists", `${type.resource} ${JSON.stringify(name)} already exists`);
    const metadata = {
      ...given,
      name,
      ...(place === undefined ? {} : { namespace: place }),
      uid: given.uid ?? randomUUID(),
      creationTimestamp: given.creationTimestamp ?? new Date().toISOString().replace(/\.\d+/, ""),
      generation: 1,
    };
    return this.#store(key, { ...typeMeta(type), ...input, metadata });
  }

  /** @param part status: only the status is taken over; all: the status too, and no resourceVersion is needed */
  update(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    input: KubeObject,
    part?: string,
  ): KubeObject {
    const old = this.get(type, namespace, name);
    const { resourceVersion, uid } = input.metadata ?? {};
    if (type.strictUpdate && !resourceVersion && part !== "all")
      throw new StatusError(422, "Invalid", "metadata.resourceVersion: must be specified for an update");
    const stale = resourceVersion && resourceVersion !== old.metadata.resourceVersion;
    if (stale || (uid && uid !== old.metadata.uid))
      throw new StatusError(
        409,
        "Conflict",
        `Operation cannot be fulfilled on ${type.resource} ${JSON.stringify(name)}: the object has been modified`,
      );
    const { namespace: place, creationTimestamp, generation } = old.metadata;
    const metadata = { ...input.metadata, name, uid: old.metadata.uid, creationTimestamp, generation };
    if (place !== undefined) metadata.namespace = place;
    if (old.metadata.deletionTimestamp) metadata.deletionTimestamp = old.metadata.deletionTimestamp;
    let next: KubeObject = { ...typeMeta(type), ...input, metadata };
    if (part === "status") next = { ...old, status: input.status };
    else if (type.status && part !== "all") next = { ...next, status: old.status };
    if (next.status === undefined) delete next.status;
    if (next.metadata.deletionTimestamp && !next.metadata.finalizers?.length)
      return this.#remove(keyOf(type, namespace, name), next);
    return this.#store(keyOf(type, namespace, name), next);
  }

  patch(
    type: ResourceType,
    namespace: string | undefined,
    name: string,
    change: (old: KubeObject) => KubeObject,
    subresource?: string,
  ): KubeObject {
    const old = this.get(type, namespace, name);
    return this.update(type, namespace, name, change(old), subresource);
  }

  delete(type: ResourceType, namespace: string | undefined, name: string, options?: KubeObject): KubeObject {
    const old = this.get(type, namespace, name);
    for (const field of ["uid", "resourceVersion"]) {
      const wanted = options?.preconditions?.[field];
      if (wanted !== undefined && wanted !== old.metadata[field])
        throw new StatusError(409, "Conflict", `Precondition failed: ${field}`);
    }
    if (!old.metadata.finalizers?.length) return this.#remove(keyOf(type, namespace, name), old);
    if (old.metadata.deletionTimestamp) return old;
    const metadata = { ...old.metadata, deletionTimestamp: new Date().toISOString().replace(/\.\d+/, "") };
    return this.#store(keyOf(type, namespace, name), { ...old, metadata });
  }

  /** A page of a list; later pages come from the snapshot of the first. */
  page(type: ResourceType, selection: Selection, limit: number, continueToken?: string) {
    let snapshot: Snapshot | undefined;
    let id: string = randomUUID();
    let start = 0;
    if (continueToken) {
      const [token = "", offset] = continueToken.split(".");
      [id, start] = [token, Number(offset)];
      snapshot = this.#snapshots.get(id);
      if (snapshot === undefined)
        throw new StatusError(410, "Expired", "The provided continue parameter is too old");
    }
    snapshot ??= { items: this.select(type, selection), resourceVersion: this.#resourceVersion };
    const end = limit > 0 ? start + limit : snapshot.items.length;
    const more = end < snapshot.items.length;
    if (more) this.#snapshots.set(id, snapshot);
    const metadata = {
      resourceVersion: String(snapshot.resourceVersion),
      ...(more ? { continue: `${id}.${end}`, remainingItemCount: snapshot.items.length - end } : {}),
    };
    return { metadata, items: snapshot.items.slice(start, end) };
  }

  /** Forgets the snapshots behind continue tokens: the next page of each running list is 410 Expired. */
  expireContinueTokens(): void {
    this.#snapshots.clear();
  }

  #place(type: ResourceType, path: string | undefined, own: string | undefined): string | undefined {
    if (!type.namespaced) return undefined;
    const place = path ?? own;
    if (place === undefined || (own !== undefined && own !== place))
      throw new StatusError(
        400,
        "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request",
      );
    return place;
  }

  #store(key: string, object: KubeObject): KubeObject {
    const before = this.#objects.get(key);
    if (before !== undefined && same(before, object)) return before;
    this.#resourceVersion += 1;
    const stored = structuredClone({
      ...object,
      metadata: { ...object.metadata, resourceVersion: String(this.#resourceVersion) },
    });
    this.#objects.set(key, stored);
    return stored;
  }

  #remove(key: string, object: KubeObject): KubeObject {
    this.#resourceVersion += 1;
    const metadata = { ...object.metadata, resourceVersion: String(this.#resourceVersion) };
    const last = structuredClone({ ...object, metadata });
    this.#objects.delete(key);
    return last;
  }
}

export function matches(selection: Selection, object: KubeObject): boolean {
  return (
    (selection.namespace === undefined || object.metadata.namespace === selection.namespace) &&
    (!selection.fieldSelector || fieldsMatch(selection.fieldSelector, object)) &&
    (!selection.labelSelector || labelsMatch(selection.labelSelector, object))
  );
}

export function typeMeta(type: ResourceType): { apiVersion: string; kind: string } {
  return {
    apiVersion: type.group === "" ? type.version : `${type.group}/${type.version}`,
    kind: type.kind,
  };
}

function keyOf(type: ResourceType, namespace: string | undefined, name: string): string {
  const base = `${type.group}/${type.resource}/`;
  if (!type.namespaced) return base + name;
  return namespace === undefined ? base : `${base}${namespace}/${name}`;
}

/** Equal but for the resourceVersion: such an update changes nothing. */
function same(a: KubeObject, b: KubeObject): boolean {
  const bare = (object: KubeObject) =>
    JSON.stringify({ ...object, metadata: { ...object.metadata, resourceVersion: "" } });
  return bare(a) === bare(b);
}
