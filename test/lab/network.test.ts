import { afterEach, expect, test } from "bun:test";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type Cable, Switch } from "./network.ts";

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A machine's end of a cable. */
async function machineAt(cable: Cable) {
  const socket = createSocket("udp4");
  socket.bind(cable.machinePort, "127.0.0.1");
  await once(socket, "listening");
  closers.push(() => socket.close());
  return socket;
}

const BROADCAST = Buffer.concat([Buffer.alloc(6, 0xff), Buffer.alloc(6, 1), Buffer.from("frame")]);

test("a frame passes, and is lost on a cable that was pulled", async () => {
  const network = new Switch();
  closers.push(() => network.close());
  const [a, b] = [await network.plug(), await network.plug()];
  const [left, right] = [await machineAt(a), await machineAt(b)];
  const arrived = once(right, "message");
  left.send(BROADCAST, a.switchPort, "127.0.0.1");
  expect((await arrived)[0].equals(BROADCAST)).toBe(true);
  b.up = false;
  left.send(BROADCAST, a.switchPort, "127.0.0.1");
  while (b.dropped === 0) await new Promise((resolve) => setImmediate(resolve));
  expect(b.frames).toBe(2);
});

for (const delayed of ["the sender's", "the receiver's"]) {
  test(`frames that are still on ${delayed} cable when the switch closes are lost in silence`, async () => {
    const network = new Switch();
    const [a, b] = [await network.plug(), await network.plug()];
    const left = await machineAt(a);
    const slow = delayed === "the sender's" ? a : b;
    slow.delayMs = 20;
    left.send(BROADCAST, a.switchPort, "127.0.0.1");
    while (slow.frames === 0) await new Promise((resolve) => setImmediate(resolve));
    network.close();
    // A delivery would throw here, in the timer, when the frame's time is over.
    await Bun.sleep(slow.delayMs * 2);
    expect(slow.dropped).toBe(0);
  });
}
