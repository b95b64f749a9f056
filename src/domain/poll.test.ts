import { expect, test } from "bun:test";
import { ManualClock, settled } from "../../test/support/clock.ts";
import { poll } from "./poll.ts";

const LIMITS = { everyMs: 100, withinMs: 250 };

test("looks at once, then after each pause, until there is an answer", async () => {
  const clock = new ManualClock();
  let looks = 0;
  const answer = poll(clock, LIMITS, async () => (++looks === 3 ? "there" : undefined));
  await settled();
  expect(looks).toBe(1);
  await clock.advance(100);
  await clock.advance(100);
  expect(await answer).toBe("there");
  expect(clock.sleeping).toBe(0);
});

test("without an answer it ends after a last look when the time is over", async () => {
  const clock = new ManualClock();
  let looks = 0;
  const answer = poll(clock, LIMITS, async () => {
    looks += 1;
    return undefined;
  });
  await settled();
  for (let pause = 0; pause < 3; pause += 1) await clock.advance(100);
  expect(await answer).toBeUndefined();
  expect(looks).toBe(4);
});

test("the signal ends the pause with its reason; an error of a look ends the wait", async () => {
  const clock = new ManualClock();
  const caller = new AbortController();
  const answer = poll(clock, LIMITS, async () => undefined, caller.signal).catch((error: unknown) => error);
  await settled();
  caller.abort("gone");
  expect(await answer).toBe("gone");
  await expect(poll(clock, LIMITS, () => Promise.reject(new Error("unreadable")))).rejects.toThrow(
    "unreadable",
  );
});
