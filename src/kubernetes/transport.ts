import { Buffer } from "node:buffer";
import http, { type IncomingMessage } from "node:http";
import https from "node:https";
import { type CredentialSource, type Credentials, poolKey } from "./credentials.ts";

/** One request to the API server. */
export interface ApiRequest {
  readonly method: string;
  /** Path and query, below the server's URL. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal: AbortSignal;
}

export interface ApiResponse {
  readonly status: number;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** The whole body; rejects when it is cut off or larger than 64 MiB. */
  text(): Promise<string>;
}

interface Pool {
  readonly key: string;
  readonly agent: http.Agent | https.Agent;
  users: number;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;

/**
 * HTTP to the API server over node:https: under Bun, the client library's own layer ignores the cluster's CA. One pool
 * of connections for everything. Adds the credentials to each request; when they are not accepted
 * and their files have changed, the request (which was not executed) is sent once more.
 */
export class ApiTransport {
  readonly #credentials: CredentialSource;
  readonly #maxSockets: number;
  readonly #pools = new Map<string, Pool>();
  #current = "";
  #server = "the configured address";

  /** @param maxSockets most connections to the API server; further requests wait for one */
  constructor(credentials: CredentialSource, maxSockets = 16) {
    this.#credentials = credentials;
    this.#maxSockets = maxSockets;
  }

  /** Where the API server is, for messages. */
  get server(): string {
    return this.#server;
  }

  /** Resolves with the head of the answer, for any status. Rejects with the network's error or the abort reason. */
  async send(request: ApiRequest): Promise<ApiResponse> {
    request.signal.throwIfAborted();
    const credentials = await this.#credentials.current();
    this.#server = credentials.server.origin;
    const response = await this.#exchange(request, credentials);
    if (response.status !== 401) return response;
    const renewed = await this.#credentials.renewed(credentials).catch(() => undefined);
    if (renewed === undefined) return response;
    await response.text();
    return this.#exchange(request, renewed);
  }

  /** Ends all connections. */
  close(): void {
    for (const pool of this.#pools.values()) pool.agent.destroy();
    this.#pools.clear();
  }

  /** A connection that the server closed while it was idle is no failure: a read is repeated on a new one. */
  async #exchange(request: ApiRequest, credentials: Credentials): Promise<ApiResponse> {
    try {
      return await this.#once(request, credentials);
    } catch (error) {
      const code = (error as { code?: string }).code;
      const lost = code === "ECONNRESET" || code === "EPIPE";
      if (!lost || request.method !== "GET" || request.signal.aborted) throw error;
      return this.#once(request, credentials);
    }
  }

  #once(request: ApiRequest, credentials: Credentials): Promise<ApiResponse> {
    const pool = this.#pool(credentials);
    pool.users += 1;
    let released = false;
    const release = () => {
      if (released) return;
      released = true;
      pool.users -= 1;
      this.#retire(pool);
    };
    const { server, tls } = credentials;
    const secure = server.protocol === "https:";
    const prefix = server.pathname.replace(/\/$/, "");
    const body = request.body;
    return new Promise<ApiResponse>((resolve, reject) => {
      const options = {
        host: server.hostname.replace(/^\[|\]$/g, ""),
        port: server.port === "" ? (secure ? 443 : 80) : Number(server.port),
        method: request.method,
        path: prefix + request.path,
        headers: {
          ...request.headers,
          ...credentials.headers,
          ...(body === undefined ? {} : { "Content-Length": String(Buffer.byteLength(body)) }),
        },
        agent: pool.agent,
        signal: request.signal,
        ...(secure ? defined(tls) : {}),
      };
      const fail = (error: unknown) => {
        release();
        reject(request.signal.aborted ? request.signal.reason : error);
      };
      try {
        const call = secure ? https.request(options) : http.request(options);
        call.on("error", fail);
        call.on("response", (message) => resolve(wrap(message, request.signal, release)));
        call.end(body);
      } catch (error) {
        fail(error);
      }
    });
  }

  #pool(credentials: Credentials): Pool {
    const key = poolKey(credentials);
    let pool = this.#pools.get(key);
    if (pool === undefined) {
      const options = { keepAlive: true, keepAliveMsecs: 15_000, maxSockets: this.#maxSockets };
      const secure = credentials.server.protocol === "https:";
      pool = { key, agent: secure ? new https.Agent(options) : new http.Agent(options), users: 0 };
      this.#pools.set(key, pool);
    }
    if (this.#current !== key) {
      const old = this.#pools.get(this.#current);
      this.#current = key;
      if (old !== undefined) this.#retire(old);
    }
    return pool;
  }

  /** Closes an unused pool whose credentials have been replaced. */
  #retire(pool: Pool): void {
    if (pool.key === this.#current || pool.users > 0) return;
    pool.agent.destroy();
    this.#pools.delete(pool.key);
  }
}

function defined<T extends object>(options: T): Partial<T> {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as Partial<T>;
}

function wrap(message: IncomingMessage, signal: AbortSignal, release: () => void): ApiResponse {
  const headers: Record<string, string> = {};
  for (const [name, value] of Object.entries(message.headers))
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(", ") : value;

  const text = () =>
    new Promise<string>((resolve, reject) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const fail = (error: unknown) => {
        release();
        message.destroy();
        reject(signal.aborted ? signal.reason : error);
      };
      message.on("data", (chunk: Buffer) => {
        chunks.push(chunk);
        size += chunk.length;
        if (size > MAX_BODY_BYTES) fail(new Error(`the answer is larger than ${MAX_BODY_BYTES} bytes`));
      });
      message.on("end", () => {
        if (!message.complete) return fail(new Error("the answer was cut off"));
        release();
        resolve(Buffer.concat(chunks).toString("utf8"));
      });
      message.on("error", fail);
      for (const event of ["aborted", "close"])
        message.on(event, () => fail(new Error("the answer was cut off")));
    });
  return { status: message.statusCode ?? 0, headers, text };
}
