import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

/** Durations in milliseconds. */
export interface ConnectionLimits {
  /** Connections at once. */
  readonly connections: number;
  /** From the connection, or the last answer, to a whole request head. */
  readonly headMs: number;
  /** For a whole answer. */
  readonly answerMs: number;
}

export const CONNECTION_LIMITS: ConnectionLimits = { connections: 64, headMs: 5_000, answerMs: 10_000 };

/**
 * Keeps a server open for others when somebody opens connections and asks nothing. One too many takes the place of the oldest that has
 * no request under way, so a newcomer, which asks at once, is always heard; refusing newcomers instead would hand the
 * server to whoever came first. Bun's own timeouts of unfinished requests are coarse and start late (1.4.5).
 */
export function limitConnections(server: Server, limits: ConnectionLimits = CONNECTION_LIMITS): void {
  /** Requests under way and the time limit of each connection; the least recently used first. */
  const connections = new Map<Socket, { requests: number; timer: NodeJS.Timeout }>();

  const use = (socket: Socket, change: number): void => {
    const known = connections.get(socket);
    clearTimeout(known?.timer);
    connections.delete(socket);
    if (socket.destroyed) return;
    const requests = (known?.requests ?? 0) + change;
    const timer = setTimeout(() => end(socket), requests > 0 ? limits.answerMs : limits.headMs);
    timer.unref();
    connections.set(socket, { requests, timer });
  };
  const end = (socket: Socket): void => {
    clearTimeout(connections.get(socket)?.timer);
    connections.delete(socket);
    socket.destroy();
  };

  server.on("connection", (socket: Socket) => {
    if (connections.size >= limits.connections) {
      const oldest = [...connections].find(([, { requests }]) => requests === 0)?.[0];
      if (oldest === undefined) return void socket.destroy();
      end(oldest);
    }
    socket.on("close", () => end(socket));
    use(socket, 0);
  });
  server.on("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    if (!connections.has(socket)) return;
    use(socket, 1);
    response.once("close", () => {
      if (connections.has(socket)) use(socket, -1);
    });
  });
}
