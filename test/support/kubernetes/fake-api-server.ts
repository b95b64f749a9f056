import { writeFile } from "node:fs/promises";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import https from "node:https";
import type { AddressInfo, Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { emitted } from "../canary.ts";
import { listenOn } from "../listen.ts";
import { execute, readBody, send, sendStatus } from "./http.ts";
import { type KubeconfigOptions, kubeconfigText, TEST_TOKEN } from "./kubeconfig.ts";
import { BUILT_IN, type KubeObject, type ResourceType } from "./objects.ts";
import {
  type Access,
  allowedBy,
  type Fault,
  type PolicyRule,
  parsePath,
  takeFault,
  verbOf,
} from "./request.ts";
import { ObjectStore, StatusError, typeMeta } from "./store.ts";
import { type Authority, type CertifiedKey, createAuthority } from "./x509.ts";

export { BUILT_IN, KUBEVIRT, type KubeObject, type ResourceType, SNAPSHOTS } from "./objects.ts";
export type { Access, Fault, PolicyRule } from "./request.ts";
export { type Authority, type CertifiedKey, createAuthority } from "./x509.ts";

export interface FakeApiServerOptions {
  /** Default true: HTTPS with a private CA. */
  readonly tls?: boolean;
  /** Names in the server's certificate; default 127.0.0.1 and localhost. */
  readonly names?: readonly string[];
  /** Default: the built-in resources; add KUBEVIRT for its CRDs. */
  readonly resources?: readonly ResourceType[];
}

/** UID of the namespace kube-system. */
export const CLUSTER_UID = "5ae2a2d8-3f0c-4d0c-9a7e-1f3d0c2b9a01";

/**
 * A Kubernetes API server in the test's process: real HTTP(S), the API's semantics for any resource but watches, and faults.
 * It records who asked for what (`accesses`).
 */
export class FakeApiServer {
  readonly store = new ObjectStore();
  /** Every authorized or refused access, in order. */
  readonly accesses: Access[] = [];
  readonly faults: Fault[] = [];
  /** Accepted bearer tokens, and whose they are. */
  readonly tokens = new Map<string, string>([[TEST_TOKEN, "system:serviceaccount:rds-csi:controller"]]);
  /** RBAC rules; undefined allows everything. */
  rules: readonly PolicyRule[] | undefined;
  /** Connections accepted so far, and the most that were open at once. */
  readonly connections = { total: 0, open: 0, most: 0 };
  /** Requests that are being answered; not those that hang. */
  busy = 0;
  readonly authority: Authority;
  readonly types: ResourceType[];
  readonly #tls: boolean;
  readonly #identity: CertifiedKey;
  readonly #sockets = new Set<Socket>();
  /** Who presents a client certificate of `authority`: under Bun, a server does not see its subject. */
  certificateUser = "system:admin";
  #server: http.Server | https.Server | undefined;
  #port = 0;

  private constructor(options: FakeApiServerOptions) {
    this.#tls = options.tls ?? true;
    this.types = [...(options.resources ?? BUILT_IN)];
    this.authority = createAuthority();
    this.#identity = this.authority.server(options.names ?? ["127.0.0.1", "localhost"]);
  }

  static async start(options: FakeApiServerOptions = {}): Promise<FakeApiServer> {
    const server = new FakeApiServer(options);
    await server.up();
    // As in every cluster; its UID tells clusters apart.
    server.apply({
      apiVersion: "v1",
      kind: "Namespace",
      metadata: { name: "kube-system", uid: CLUSTER_UID },
    });
    return server;
  }

  get url(): string {
    return `${this.#tls ? "https" : "http"}://127.0.0.1:${this.#port}`;
  }

  /** Listens (again, on the same port). */
  async up(): Promise<void> {
    const handle = (request: IncomingMessage, response: ServerResponse) =>
      void this.#handle(request, response);
    const server = this.#tls
      ? https.createServer(
          { ...this.#identity, ca: this.authority.cert, requestCert: true, rejectUnauthorized: false },
          handle,
        )
      : http.createServer(handle);
    server.on(this.#tls ? "secureConnection" : "connection", (socket: Socket) => {
      // Its handshake ended after the others were cut: it would hold up the end of this server as long as its client keeps it.
      if (this.#server !== server) {
        socket.destroy();
        return;
      }
      this.#sockets.add(socket);
      this.connections.total += 1;
      this.connections.open += 1;
      this.connections.most = Math.max(this.connections.most, this.connections.open);
      socket.on("error", () => {});
      socket.on("close", () => {
        this.#sockets.delete(socket);
        this.connections.open -= 1;
      });
    });
    server.on("tlsClientError", () => {});
    this.#server = server;
    await listenOn(server, this.#port);
    this.#port = (server.address() as AddressInfo).port;
  }

  /** Cuts all connections and refuses new ones. */
  async down(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    server.closeAllConnections();
    await closed;
  }

  stop(): Promise<void> {
    for (const kind of ["Event", "Lease"]) {
      if (this.types.some((type) => type.kind === kind))
        emitted("kubernetes", JSON.stringify(this.list(kind)));
    }
    return this.down();
  }

  /** The text of a kubeconfig for this server. */
  kubeconfig(options: KubeconfigOptions = {}): string {
    const server = options.server ?? this.url;
    return kubeconfigText({
      ...options,
      server,
      ca: this.#tls ? (options.ca ?? this.authority.cert) : undefined,
    });
  }

  async writeKubeconfig(path: string, options?: KubeconfigOptions): Promise<string> {
    await writeFile(path, this.kubeconfig(options));
    return path;
  }

  /** Puts an object in place, its status too; replaces what is there. Needs apiVersion and kind. */
  apply(object: KubeObject): KubeObject {
    const type = this.#typeOf(object);
    const { name, namespace } = object.metadata;
    try {
      this.store.get(type, namespace, name);
    } catch {
      return this.store.create(type, namespace, object);
    }
    const bare = { ...object, metadata: { ...object.metadata, resourceVersion: undefined } };
    return this.store.update(type, namespace, name, bare, "all");
  }

  get(kind: string, name: string, namespace?: string): KubeObject | undefined {
    try {
      return this.store.get(this.#typeOf({ kind }), namespace, name);
    } catch {
      return undefined;
    }
  }

  list(kind: string, namespace?: string): KubeObject[] {
    return this.store.select(this.#typeOf({ kind }), { namespace });
  }

  delete(kind: string, name: string, namespace?: string): void {
    this.store.delete(this.#typeOf({ kind }), namespace, name);
  }

  #typeOf({ kind, apiVersion }: KubeObject): ResourceType {
    const type = this.types.find(
      (known) =>
        known.kind === kind && (apiVersion === undefined || typeMeta(known).apiVersion === apiVersion),
    );
    if (type === undefined) throw new RangeError(`the fake API server knows no ${apiVersion} ${kind}`);
    return type;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.busy += 1;
    try {
      const body = await readBody(request);
      await this.#serve(request, body, response);
    } catch (error) {
      if (response.headersSent) return;
      if (error instanceof StatusError) sendStatus(response, error);
      else sendStatus(response, new StatusError(500, "InternalError", String(error)));
    } finally {
      this.busy -= 1;
    }
  }

  async #serve(request: IncomingMessage, body: string, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? "/", "http://fake");
    const user = this.#authenticate(request);
    const target = parsePath(url.pathname, this.types);
    const verb = target === undefined ? undefined : verbOf(request.method ?? "", target);
    if (target === undefined || verb === undefined) {
      response.writeHead(404, { "Content-Type": "text/plain" }).end("404 page not found\n");
      return;
    }
    const access: Access = {
      verb,
      group: target.type.group,
      resource: target.type.resource + (target.subresource === undefined ? "" : `/${target.subresource}`),
      namespace: target.namespace,
      name: target.name,
      user,
    };
    this.accesses.push(access);
    const fault = takeFault(this.faults, access);
    if (fault?.hang) return;
    if (fault?.delayMs) await new Promise((resolve) => setTimeout(resolve, fault.delayMs));
    if (fault?.drop === "before") {
      request.socket.destroy();
      return;
    }
    if (fault?.body !== undefined) {
      response.writeHead(fault.status ?? 200, { "Content-Type": "text/html" }).end(fault.body);
      return;
    }
    if (fault?.status !== undefined)
      throw new StatusError(fault.status, fault.reason ?? "", "made to fail", fault.retryAfter);
    if (this.rules !== undefined && !allowedBy(this.rules, access))
      throw new StatusError(
        403,
        "Forbidden",
        `${access.resource} is forbidden: User ${JSON.stringify(user)} cannot ${verb} resource ${JSON.stringify(access.resource)} in API group ${JSON.stringify(access.group)}`,
      );
    const answer = execute(this.store, verb, target, url, request, body);
    if (fault?.drop === "after") {
      request.socket.destroy();
      return;
    }
    send(response, verb === "create" ? 201 : 200, answer);
  }

  #authenticate(request: IncomingMessage): string {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1];
    const byToken = token === undefined ? undefined : this.tokens.get(token);
    if (byToken !== undefined) return byToken;
    const certified = this.#tls && (request.socket as TLSSocket).authorized === true;
    const user = certified ? this.certificateUser : undefined;
    if (token !== undefined || user === undefined) throw new StatusError(401, "Unauthorized", "Unauthorized");
    return user;
  }
}
