import { expect, test } from "bun:test";
import { useStack } from "../../test/support/own-stack.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { readReply } from "../routeros/envelope.ts";
import { ros } from "../routeros/script.ts";
import { bootIn, isSameBoot, putBoot, requireBoot } from "./boot.ts";

const AT = 1_795_000_000;
const open = useStack();

test.each([
  [{ at: AT, uptime: 100 }, true],
  [{ at: AT + 10, uptime: 100 }, true],
  [{ at: AT - 10, uptime: 9_999 }, true],
  [{ at: AT, uptime: 99 }, false],
  [{ at: AT + 11, uptime: 200 }, false],
  [{ at: AT - 11, uptime: 200 }, false],
])("%o is the run that was noted: %p", (now, isSame) => {
  expect(isSameBoot({ at: AT, uptime: 100 }, now)).toBe(isSame);
});

test("no noted run is that of now", () => {
  expect(isSameBoot(undefined, { at: AT, uptime: 100 })).toBe(false);
});

const replyOf = (text: string) => readReply("n1", `~p:n1:boot~${text}~e:n1~\r\n~ok:n1~\r\n`, "");

test("the run of a device whose clock is not set is not known; nor one that cannot be read", () => {
  expect(bootIn(replyOf("100:1795000100"), "x")).toEqual({ at: AT, uptime: 100 });
  expect(() => bootIn(replyOf("100:200"), "x")).toThrow("the clock of the RDS is not set");
  for (const text of ["", ":", "1w2d:1795000100", "100:"])
    expect(() => bootIn(replyOf(text), "x")).toThrow("its uptime and its clock are");
});

test("the device tells its run, and proves it in a later line until it restarts", async () => {
  const on = await open();
  const { simulator, signal } = on;
  const client = new RouterOsClient(on.transport);
  const read = await client.run({ what: "look", purpose: "read", body: () => putBoot(), signal });
  if (!read.ok) throw new Error(read.failure.text);
  const boot = bootIn(read.reply, "look");
  expect(Math.abs(boot.at * 1_000 - simulator.device.bootedAt)).toBeLessThan(3_000);
  const prove = () =>
    client.run({ what: "prove", purpose: "read", body: () => ros`${requireBoot(boot)}`, signal });
  expect((await prove()).ok).toBe(true);
  simulator.device.bootedAt -= 3_600_000;
  expect(await prove()).toMatchObject({ ok: false, failure: { reason: "restarted" } });
});
