import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Clock } from "../domain/clock.ts";
import { parseEndpoint } from "../domain/endpoint.ts";
import type { Logger } from "../observability/log.ts";
import { placeSocket } from "../observability/unix-socket.ts";
import { type BoundService, serviceDefinition, serviceImplementation } from "./bridge.ts";
import { CallRegistry } from "./calls.ts";
import { logUndecodable, takeLibraryLog } from "./library-log.ts";
import type { Interceptor } from "./rpc.ts";

/** Settings of a CSI server. */
export interface ServerOptions {
  /** `unix:///path`, `unix:path` or `/path`; see parseEndpoint. */
  readonly endpoint: string;
  readonly services: readonly BoundService[];
  /** The first is outermost. */
  readonly interceptors: readonly Interceptor[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** How long calls may go on after `close` before they are aborted, milliseconds; 25,000. */
  readonly drainMs?: number;
  /** How long aborted calls may take to end before the server stops without them, milliseconds; 3,000. */
  readonly abortMs?: number;
}

/** A server that accepts calls. */
export interface RunningServer {
  /** Absolute path of the socket. */
  readonly path: string;
  /**
   * Stops in order: refuses new calls, waits for running ones, aborts the rest, ends all connections, removes the socket.
   * Resolves at the end. A second call waits for the first.
   */
  close(): Promise<void>;
}

/** How long open connections may take to end after the last call, milliseconds. */
const DISCONNECT_MS = 500;

const CHANNEL_OPTIONS = {
  // Bun's HTTP/2 recurses once per response that waits on a connection; unbounded, thousands of them end the process.
  "grpc.max_concurrent_streams": 256,
  "grpc.max_receive_message_length": 4 * 1024 * 1024,
  "grpc.max_send_message_length": 64 * 1024 * 1024,
  // Not switched off ("grpc.enable_channelz": 0): grpc-js then forgets its connections and cannot force them to close.
} as const;

/**
 * Serves `services` on a unix socket with mode 0660. A stale socket is replaced; one that another process serves, or a
 * file of another kind, is an error.
 * @throws fieldInvalid, fieldMissing or fieldTooLong naming `endpoint`
 */
export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const path = parseEndpoint(options.endpoint);
  const calls = new CallRegistry();
  const server = new Server(CHANNEL_OPTIONS);
  const { clock, logger, interceptors } = options;
  const bridge = { clock, logger, calls, interceptors };
  takeLibraryLog(logger, clock);
  const onUndecodable = logUndecodable(logger, clock);
  for (const bound of options.services) {
    server.addService(serviceDefinition(bound.desc, onUndecodable), serviceImplementation(bound, bridge));
  }
  const removeSocket = await placeSocket(path, "endpoint", (temporary) => bind(server, temporary));
  logger.info("serving", { path, services: options.services.map(({ desc }) => desc.typeName) });

  let closing: Promise<void> | undefined;
  const close = async () => {
    calls.refuse();
    const disconnected = new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
    if (calls.size > 0) logger.info("waiting for running calls", { calls: calls.size });
    if (!(await within(calls.idle(), options.drainMs ?? 25_000, clock))) {
      logger.warn("aborting calls that are still running", { calls: calls.size });
      calls.abort();
      if (!(await within(calls.idle(), options.abortMs ?? 3_000, clock))) {
        logger.error("stopping in spite of calls that do not end", { calls: calls.size });
      }
    }
    if (!(await within(disconnected, DISCONNECT_MS, clock))) server.forceShutdown();
    await removeSocket();
    logger.info("stopped serving", { path });
  };
  return {
    path,
    close: () => {
      closing ??= close();
      return closing;
    },
  };
}

function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix:${path}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
}

/** Whether `work` ends within `ms`. */
async function within(work: Promise<void>, ms: number, clock: Clock): Promise<boolean> {
  const timer = new AbortController();
  const late = clock.sleep(ms, timer.signal).then(
    () => false,
    () => true,
  );
  const result = await Promise.race([work.then(() => true), late]);
  timer.abort();
  return result;
}
