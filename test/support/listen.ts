import type { Server } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

/** Below the ports that clients get by themselves: a server that is away for a while finds its port free. */
const FIRST = 12_000;
const COUNT = 18_000;
const TRIES = 250;

/**
 * Lets a server listen on loopback.
 * @param port 0: any that is free
 * @throws the server's error; for a port in use after five seconds of tries
 */
export async function listenOn(server: Pick<Server, "once" | "off" | "listen">, port: number): Promise<void> {
  for (let tries = 1; ; tries += 1) {
    const wanted = port === 0 ? FIRST + Math.floor(Math.random() * COUNT) : port;
    const error = await new Promise<NodeJS.ErrnoException | undefined>((resolve) => {
      server.once("error", resolve);
      server.listen(wanted, "127.0.0.1", () => {
        server.off("error", resolve);
        resolve(undefined);
      });
    });
    if (error === undefined) return;
    if (error.code !== "EADDRINUSE" || tries === TRIES) throw error;
    await delay(20);
  }
}
