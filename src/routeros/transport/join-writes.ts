import type { Socket } from "node:net";

/**
 * Sends the writes of one turn of the event loop together: one system call, and one TCP segment where they fit. ssh2 writes
 * length, content and tag of each packet apart, each of which would be a segment without Nagle's algorithm.
 */
export function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as Socket["write"];
  let isCorked = false;
  socket.write = ((...args: Parameters<Socket["write"]>) => {
    if (!isCorked) {
      isCorked = true;
      socket.cork();
      queueMicrotask(() => {
        isCorked = false;
        socket.uncork();
      });
    }
    return write(...args);
  }) as Socket["write"];
}
