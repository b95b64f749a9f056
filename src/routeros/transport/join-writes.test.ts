import { expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { joinWrites } from "./join-writes.ts";

/** A socket whose writes are joined, and everything that its peer received, once it has ended. */
async function pair(): Promise<{ socket: Socket; vectors: number[]; received: Promise<string> }> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const accepted = once(server, "connection") as Promise<[Socket]>;
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  await once(socket, "connect");
  const [peer] = await accepted;
  const parts: Buffer[] = [];
  peer.on("data", (part: Buffer) => parts.push(part));
  const received = once(peer, "close").then(() => Buffer.concat(parts).toString());
  peer.once("end", () => server.close());
  joinWrites(socket);
  const vectors: number[] = [];
  const writev = socket._writev?.bind(socket);
  socket._writev = (chunks, callback) => {
    vectors.push(chunks.length);
    writev?.(chunks, callback);
  };
  return { socket, vectors, received };
}

test("the writes of one turn are one system call, in their order; those of the next turn are another", async () => {
  const { socket, vectors, received } = await pair();
  for (const text of ["length", "content", "tag"]) socket.write(text);
  await new Promise((resolve) => setImmediate(resolve));
  for (const text of ["4", "5"]) socket.write(text);
  await new Promise((resolve) => setImmediate(resolve));
  socket.end("end");
  expect(await received).toBe("lengthcontenttag45end");
  expect(vectors).toEqual([3, 2]);
});

test("an end in the same turn sends everything before it, and a destroyed socket throws nothing", async () => {
  const ended = await pair();
  ended.socket.write("a");
  ended.socket.end("b");
  expect(await ended.received).toBe("ab");
  const cut = await pair();
  cut.socket.on("error", () => {});
  cut.socket.write("a");
  cut.socket.destroy();
  await new Promise((resolve) => setImmediate(resolve));
  expect(await cut.received).toBe("");
});
