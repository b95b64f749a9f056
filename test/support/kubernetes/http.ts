import type { IncomingMessage, ServerResponse } from "node:http";
import { jsonPatch } from "./json-patch.ts";
import { type KubeObject, mergePatch, type ResourceType } from "./objects.ts";
import type { Target } from "./request.ts";
import { type ObjectStore, type Selection, StatusError, typeMeta } from "./store.ts";

function selectionOf(target: Target, { searchParams }: URL): Selection {
  const byName = target.name === undefined ? [] : [`metadata.name=${target.name}`];
  return {
    namespace: target.namespace,
    fieldSelector: [searchParams.get("fieldSelector") ?? "", ...byName].filter((s) => s !== "").join(","),
    labelSelector: searchParams.get("labelSelector") ?? undefined,
  };
}

/** Full objects, or only their metadata if that is asked for. */
function renderer(request: IncomingMessage, type: ResourceType): (object: KubeObject) => KubeObject {
  if (!request.headers.accept?.includes("as=PartialObjectMetadata"))
    return (object) => ({ ...typeMeta(type), ...object });
  const meta = { apiVersion: "meta.k8s.io/v1", kind: "PartialObjectMetadata" };
  return (object) => ({ ...meta, metadata: object.metadata });
}

/** What the API server checks of core/v1 Events. */
export function checked(type: ResourceType, namespace: string | undefined, object: KubeObject): KubeObject {
  if (type.kind !== "Event") return object;
  const invalid = (message: string) => new StatusError(422, "Invalid", message);
  if ((object.involvedObject?.namespace ?? "default") !== namespace)
    throw invalid("involvedObject.namespace: does not match event.namespace");
  if (object.eventTime !== undefined && object.eventTime !== null) {
    if (!object.reportingComponent || !object.reportingInstance || !object.action)
      throw invalid("reportingComponent, reportingInstance and action are required with eventTime");
  }
  return object;
}

/** What a patch of a media type makes of an object; undefined for types that are not supported. */
function patchIn(media: string): ((target: KubeObject, patch: KubeObject) => KubeObject) | undefined {
  if (/^application\/json-patch\+json/.test(media)) return jsonPatch;
  return /^application\/(?:strategic-)?merge-patch\+json/.test(media) ? mergePatch : undefined;
}

export async function readBody(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}

export function send(response: ServerResponse, code: number, body: KubeObject, headers = {}): void {
  const text = JSON.stringify(body);
  response
    .writeHead(code, {
      "Content-Type": "application/json",
      "Content-Length": Buffer.byteLength(text),
      ...headers,
    })
    .end(text);
}

export function sendStatus(response: ServerResponse, error: StatusError): void {
  const { code, reason, message, retryAfter } = error;
  const body = { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code };
  send(response, code, body, retryAfter === undefined ? {} : { "Retry-After": String(retryAfter) });
}

/** Carries out a request. */
export function execute(
  store: ObjectStore,
  verb: string,
  target: Target,
  url: URL,
  request: IncomingMessage,
  body: string,
): KubeObject {
  const { type, namespace, name = "", subresource } = target;
  const render = renderer(request, type);
  switch (verb) {
    case "get":
      return render(store.get(type, namespace, name));
    case "list": {
      const { searchParams } = url;
      const page = store.page(
        type,
        selectionOf(target, url),
        Number(searchParams.get("limit") ?? 0),
        searchParams.get("continue") ?? undefined,
      );
      const { apiVersion, kind } = typeMeta(type);
      return { apiVersion, kind: `${kind}List`, metadata: page.metadata, items: page.items.map(render) };
    }
    case "create":
      return store.create(type, namespace, checked(type, namespace, JSON.parse(body)));
    case "update":
      return store.update(type, namespace, name, JSON.parse(body), subresource);
    case "patch": {
      const media = request.headers["content-type"] ?? "";
      const patched = patchIn(media);
      if (patched === undefined)
        throw new StatusError(415, "UnsupportedMediaType", `the body of the request was in ${media}`);
      return store.patch(type, namespace, name, (old) => patched(old, JSON.parse(body)), subresource);
    }
    default:
      return store.delete(type, namespace, name, body === "" ? undefined : JSON.parse(body));
  }
}
