import { expect, test } from "bun:test";
import { type AddressInfo, createServer } from "node:net";
import { systemClock } from "../domain/clock.ts";
import { reachOf } from "./reach.ts";

test("a port that listens is reached, a closed one fails, and one that is waited for too long is silent", async () => {
  const server = createServer((socket) => socket.destroy());
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { address, port } = server.address() as AddressInfo;
  const { monotonic } = systemClock;
  expect(await reachOf({ address, port }, 10_000, monotonic)).toMatchObject({
    kind: "reached",
    from: address,
  });
  const gone = AbortSignal.abort();
  expect(await reachOf({ address, port }, 10_000, monotonic, gone)).toMatchObject({ kind: "silent" });
  await new Promise((done) => server.close(done));
  const refused = { kind: "failed", code: "ECONNREFUSED" };
  expect(await reachOf({ address, port }, 10_000, monotonic)).toMatchObject(refused);
});
