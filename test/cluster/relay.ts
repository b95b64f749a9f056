import { rmSync } from "node:fs";
import { connect, createServer, type NetConnectOpts, type Server } from "node:net";
import process from "node:process";

/**
 * Passes connections on, between a port and a unix socket, which is seen from every network namespace. Two of these lead from
 * this computer to the API server. Usage: relay.ts FROM TO, each a path or ADDRESS:PORT;
 * writes where it listens.
 */
const [from = "", to = ""] = process.argv.slice(2);

function place(text: string): NetConnectOpts {
  const [host = "", port] = text.split(":");
  return port === undefined ? { path: text } : { host, port: Number(port) };
}

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
server.listen(place(from), () => {
  const address = server.address();
  console.log(typeof address === "object" && address !== null ? `port ${address.port}` : "listening");
});
