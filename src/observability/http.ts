import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { printable } from "../domain/printable.ts";
import { type HttpAddress, parseHttpAddress } from "./http-address.ts";
import { type ConnectionLimits, limitConnections } from "./http-connections.ts";
import { listenError } from "./listen-error.ts";
import type { Logger } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { placeSocket } from "./unix-socket.ts";

/** Settings of the HTTP server for metrics and health. */
export interface HttpOptions {
  /** `host:port`, `:port` for all addresses, `[::1]:port`, or a unix socket (`/path`, `unix:/path`). */
  readonly address: string;
  readonly metrics: Pick<Metrics, "registry">;
  /** Whether the process lives; false makes `/healthz` answer 503, upon which kubelet restarts the container. */
  readonly isHealthy: () => boolean;
  /** Reasons against readiness, empty when ready; shown by `/readyz`. */
  readonly notReadyReasons: () => readonly string[];
  readonly logger: Logger;
  /** CONNECTION_LIMITS unless given. */
  readonly limits?: ConnectionLimits;
}

/** An HTTP server that accepts requests. */
export interface RunningHttp {
  /** Where it listens; the port is the real one when 0 was asked for. */
  readonly address: string;
  close(): Promise<void>;
}

const OPTION = "metrics-address";

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly type?: string;
}

/**
 * Serves `/metrics`, `/healthz` and `/readyz` to GET and HEAD. Nothing here changes state or shows secrets.
 * @throws fieldInvalid if the address has another form; the errors of listenError
 */
export async function startHttp(options: HttpOptions): Promise<RunningHttp> {
  const address = parseHttpAddress(options.address);
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5_000, keepAliveTimeout: 5_000 });
  limitConnections(server, options.limits);
  server.on("request", (request: IncomingMessage, response: ServerResponse) => {
    answer(request, options).then(
      (reply) => send(request, response, reply),
      (error: unknown) => {
        options.logger.error("http request failed", { path: request.url, error });
        send(request, response, { status: 500, body: "internal error\n" });
      },
    );
  });
  const removeSocket =
    address.kind === "unix"
      ? await placeSocket(address.path, OPTION, (temporary) =>
          listen(server, { ...address, path: temporary }),
        )
      : await listen(server, address).catch((error: unknown) => {
          throw listenError(OPTION, options.address, error);
        });
  server.on("error", (error) => options.logger.error("http server failed", { error }));
  return {
    address: shownAddress(server, address),
    close: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
      await removeSocket?.();
    },
  };
}

async function answer(request: IncomingMessage, options: HttpOptions): Promise<Reply> {
  const path = (request.url ?? "").split("?", 1)[0];
  if (path !== "/metrics" && path !== "/healthz" && path !== "/readyz")
    return { status: 404, body: "not found\n" };
  if (request.method !== "GET" && request.method !== "HEAD")
    return { status: 405, body: "use GET or HEAD\n" };
  if (path === "/metrics") {
    const { registry } = options.metrics;
    return { status: 200, body: await registry.metrics(), type: registry.contentType };
  }
  if (path === "/healthz") {
    return options.isHealthy() ? { status: 200, body: "ok\n" } : { status: 503, body: "not healthy\n" };
  }
  const reasons = options.notReadyReasons();
  return reasons.length === 0
    ? { status: 200, body: "ok\n" }
    : { status: 503, body: `${reasons.map(printable).join("\n")}\n` };
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, type }: Reply): void {
  if (status === 405) response.setHeader("allow", "GET, HEAD");
  response.writeHead(status, {
    "content-type": type ?? "text/plain; charset=utf-8",
    "content-length": new TextEncoder().encode(body).byteLength,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
  });
  response.end(request.method === "HEAD" ? undefined : body);
}

function listen(server: Server, address: HttpAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const listening = () => {
      server.off("error", reject);
      resolve();
    };
    if (address.kind === "unix") server.listen(address.path, listening);
    else if (address.host === "") server.listen(address.port, listening);
    else server.listen(address.port, address.host, listening);
  });
}

function shownAddress(server: Server, wanted: HttpAddress): string {
  const bound = server.address();
  if (wanted.kind === "unix" || bound === null || typeof bound === "string") {
    return wanted.kind === "unix" ? wanted.path : String(bound);
  }
  return bound.family === "IPv6" ? `[${bound.address}]:${bound.port}` : `${bound.address}:${bound.port}`;
}
