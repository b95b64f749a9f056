import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type NetConnectOpts, type Server } from "node:net";
import process from "node:process";

/** @param text a path or ADDRESS:PORT */
function place(text: string): NetConnectOpts {
  const [host = "", port] = text.split(":");
  return port === undefined ? { path: text } : { host, port: Number(port) };
}

/**
 * Passes connections on, between a port and a unix socket, which is seen from every network namespace. Two of these lead from
 * this computer to the API server. Both places are a path or ADDRESS:PORT.
 * @returns the server, when it listens
 */
export async function relay(from: string, to: string): Promise<Server> {
  const server: Server = createServer({ allowHalfOpen: true }, (near) => {
    const far = connect({ ...place(to), allowHalfOpen: true });
    near.pipe(far);
    far.pipe(near);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
  });
  if (!from.includes(":")) rmSync(from, { force: true });
  server.listen(place(from));
  await once(server, "listening");
  return server;
}

// As a program: relay.ts FROM TO; writes where it listens.
if (import.meta.main) {
  const [from = "", to = ""] = process.argv.slice(2);
  const address = (await relay(from, to)).address();
  console.log(typeof address === "object" && address !== null ? `port ${address.port}` : "listening");
}
