import type { ResourceType } from "./objects.ts";

/** One access as RBAC sees it. */
export interface Access {
  /** get, list, create, update, patch or delete */
  readonly verb: string;
  readonly group: string;
  /** With the subresource: volumeattachments/status. */
  readonly resource: string;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly user: string;
}

/** A parsed path of the REST API. */
export interface Target {
  readonly type: ResourceType;
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly subresource: string | undefined;
}

/** Undefined for a path that no known resource has: the API server answers such with a plain 404. */
export function parsePath(path: string, types: readonly ResourceType[]): Target | undefined {
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decodeURIComponent);
  const group = parts[0] === "api" ? "" : parts[1];
  const version = parts[0] === "api" ? parts[1] : parts[2];
  if (parts[0] !== "api" && parts[0] !== "apis") return undefined;
  let rest = parts.slice(parts[0] === "api" ? 2 : 3);
  let namespace: string | undefined;
  if (rest[0] === "namespaces" && rest.length > 2) {
    namespace = rest[1];
    rest = rest.slice(2);
  }
  const [resource, name, subresource, ...more] = rest;
  const type = types.find(
    (known) =>
      known.group === group &&
      known.version === version &&
      known.resource === resource &&
      (known.namespaced || namespace === undefined),
  );
  if (type === undefined || more.length > 0) return undefined;
  if (type.namespaced && name !== undefined && namespace === undefined) return undefined;
  if (subresource !== undefined && !(subresource === "status" && type.status)) return undefined;
  return { type, namespace, name, subresource };
}

/** The RBAC verb of a request; undefined for methods that are not supported. */
export function verbOf(method: string, target: Target): string | undefined {
  const named = target.name !== undefined;
  switch (method) {
    case "GET":
      return named ? "get" : "list";
    case "POST":
      return named ? undefined : "create";
    case "PUT":
      return named ? "update" : undefined;
    case "PATCH":
      return named ? "patch" : undefined;
    case "DELETE":
      return named ? "delete" : undefined;
    default:
      return undefined;
  }
}

/** A rule of a Role or ClusterRole. */
export interface PolicyRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
  /** Of a Role: the namespace that it holds in. */
  readonly namespace?: string;
}

/** Whether RBAC rules allow an access (https://kubernetes.io/docs/reference/access-authn-authz/rbac/). */
export function allowedBy(rules: readonly PolicyRule[], access: Access): boolean {
  const has = (list: readonly string[], value: string) => list.includes("*") || list.includes(value);
  return rules.some(
    (rule) =>
      has(rule.apiGroups, access.group) &&
      has(rule.resources, access.resource) &&
      has(rule.verbs, access.verb) &&
      (rule.namespace === undefined || rule.namespace === access.namespace) &&
      (!rule.resourceNames?.length || rule.resourceNames.includes(access.name ?? "\0")),
  );
}

/** Something that goes wrong with the requests that it matches. */
export interface Fault {
  readonly match?: (access: Access) => boolean;
  /** How many requests it hits; default all. */
  times?: number;
  /** Answers with this status instead. */
  readonly status?: number;
  readonly reason?: string;
  /** Seconds, with status 429 or 503. */
  readonly retryAfter?: number;
  /** The body instead of a Status object, as a proxy in between would send. */
  readonly body?: string;
  /** Waits before doing anything. */
  readonly delayMs?: number;
  /** Never answers. */
  readonly hang?: boolean;
  /** Cuts the connection: before the request is executed, or after, so that only the answer is lost. */
  readonly drop?: "before" | "after";
}

/** The first fault that an access meets; one that has hit often enough is removed. */
export function takeFault(faults: Fault[], access: Access): Fault | undefined {
  const fault = faults.find(({ match }) => match === undefined || match(access));
  if (fault?.times !== undefined) {
    fault.times -= 1;
    if (fault.times <= 0) faults.splice(faults.indexOf(fault), 1);
  }
  return fault;
}
