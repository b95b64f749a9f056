import type * as ClientNode from "@kubernetes/client-node";
import type { Clock } from "../domain/clock.ts";
import { ApiStatusError, type CallName, toFailure } from "./api-error.ts";
import type * as ClientLibrary from "./client-library.ts";
import { withDeadline } from "./deadline.ts";
import { listAll, PAGE_LIMIT, type RawList, toPage } from "./list.ts";
import { isObjectName } from "./names.ts";
import type { ApiTransport } from "./transport.ts";

/** The client library, loaded with the first client. */
export type K8s = typeof ClientLibrary;

/** Options for one call of a typed API class. */
export type CallOptions = ClientNode.ConfigurationOptions;

export interface CallExtras {
  readonly headers?: Readonly<Record<string, string>>;
  /** Default 10 s. */
  readonly timeoutMs?: number;
}

/** Which page of a list is read. */
export interface ListPage {
  readonly limit: number;
  readonly _continue?: string;
}

/** Placeholder of the real address, which the transport knows and which may change with the kubeconfig. */
const BASE = "http://kubernetes.invalid";
const DEFAULT_TIMEOUT_MS = 10_000;
export const USER_AGENT = "rds-csi";

/** The typed API classes that the driver uses, over its own transport. */
export class KubernetesApi {
  readonly core: ClientNode.CoreV1Api;
  readonly storage: ClientNode.StorageV1Api;
  readonly coordination: ClientNode.CoordinationV1Api;
  readonly custom: ClientNode.CustomObjectsApi;
  readonly k8s: K8s;
  readonly transport: ApiTransport;
  readonly #clock: Clock;

  constructor(k8s: K8s, transport: ApiTransport, clock: Clock) {
    this.k8s = k8s;
    this.transport = transport;
    this.#clock = clock;
    const configuration = k8s.createConfiguration({
      baseServer: new k8s.ServerConfiguration(BASE, {}),
      // The transport adds the credentials.
      authMethods: {},
      httpApi: k8s.wrapHttpLibrary({ send: (request) => this.#send(request) }),
    });
    this.core = new k8s.CoreV1Api(configuration);
    this.storage = new k8s.StorageV1Api(configuration);
    this.coordination = new k8s.CoordinationV1Api(configuration);
    this.custom = new k8s.CustomObjectsApi(configuration);
  }

  /**
   * Makes one call with a deadline; never repeats it.
   * @throws ApiStatusError, DeadlineError, the network's error or the abort reason, unchanged
   */
  attempt<T>(
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<T>,
    extras: CallExtras = {},
  ): Promise<T> {
    return withDeadline(this.#clock, extras.timeoutMs ?? DEFAULT_TIMEOUT_MS, signal, (inner) =>
      run(this.#options(inner, extras.headers ?? {})),
    );
  }

  /** Makes one call. @throws the kubernetes* errors of the catalogue, cancelled */
  async call<T>(
    name: CallName,
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<T>,
    extras?: CallExtras,
  ): Promise<T> {
    try {
      return await this.attempt(signal, run, extras);
    } catch (error) {
      throw toFailure(error, name, this.transport.server, signal);
    }
  }

  /**
   * Like `call`, but absent is an answer. A 404 counts only if the API server itself says so with a Status object
   * of reason NotFound; with `orNoSuchResource` also when it does not know the resource at all (no CRD).
   */
  async find<T>(
    name: CallName,
    signal: AbortSignal | undefined,
    run: (options: CallOptions) => Promise<T>,
    extras: CallExtras & { readonly orNoSuchResource?: boolean } = {},
  ): Promise<T | undefined> {
    try {
      return await this.attempt(signal, run, extras);
    } catch (error) {
      if (error instanceof ApiStatusError && error.status === 404) {
        if (error.details?.reason === "NotFound" || extras.orNoSuchResource === true) return undefined;
      }
      throw toFailure(error, name, this.transport.server, signal);
    }
  }

  /** A PersistentVolumeClaim; undefined for a name that none can have. @throws as `call` */
  async findClaim(
    namespace: string,
    name: string,
    signal: AbortSignal,
  ): Promise<ClientNode.V1PersistentVolumeClaim | undefined> {
    if (!isObjectName(namespace) || !isObjectName(name)) return undefined;
    return this.find(
      { verb: "get", resource: `persistentvolumeclaim ${namespace}/${name}` },
      signal,
      (options) => this.core.readNamespacedPersistentVolumeClaim({ namespace, name }, options),
    );
  }

  /**
   * Reads all pages of a list.
   * @param read one page
   * @param keep which items stay; the others are dropped page by page
   * @throws as `call`
   */
  async list<T>(
    resource: string,
    signal: AbortSignal,
    read: (page: ListPage, options: CallOptions) => Promise<RawList<T>>,
    { keep = () => true, ...extras }: CallExtras & { readonly keep?: (item: T) => boolean } = {},
  ): Promise<readonly T[]> {
    try {
      const { items } = await listAll<T>((next) => {
        const page = { limit: PAGE_LIMIT, ...(next ? { _continue: next } : {}) };
        return this.attempt(
          signal,
          async (options) => {
            const found = toPage(await read(page, options));
            return { ...found, items: found.items.filter(keep) };
          },
          extras,
        );
      });
      return items;
    } catch (error) {
      throw toFailure(error, { verb: "list", resource }, this.transport.server, signal);
    }
  }

  #options(signal: AbortSignal, headers: Readonly<Record<string, string>>): CallOptions {
    const { Observable } = this.k8s;
    return {
      middleware: [
        {
          pre: (context) => {
            context.setSignal(signal);
            for (const [name, value] of Object.entries(headers)) context.setHeaderParam(name, value);
            return new Observable(Promise.resolve(context));
          },
          post: (context) => new Observable(Promise.resolve(context)),
        },
      ],
      middlewareMergeStrategy: "append",
    };
  }

  async #send(request: ClientNode.RequestContext): Promise<ClientNode.ResponseContext> {
    const url = new URL(request.getUrl());
    const body = request.getBody();
    const response = await this.transport.send({
      method: request.getHttpMethod(),
      path: url.pathname + url.search,
      headers: { ...request.getHeaders(), "User-Agent": USER_AGENT },
      body: body === undefined ? undefined : String(body),
      signal: request.getSignal() ?? new AbortController().signal,
    });
    const text = await response.text();
    if (response.status < 200 || response.status > 299)
      throw new ApiStatusError(response.status, text, response.headers);
    return new this.k8s.ResponseContext(response.status, { ...response.headers }, {
      text: async () => text,
    } as ClientNode.ResponseBody);
  }
}
