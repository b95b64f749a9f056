import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ManualClock, settled } from "../../test/support/clock.ts";
import { backoffDelay, retry } from "./backoff.ts";
import { RecentMap } from "./recent-map.ts";

const LIMITS = { firstMs: 500, maxMs: 30_000 };

describe("the wait", () => {
  test("doubles and is capped", () => {
    expect(backoffDelay(0, LIMITS, () => 1)).toBe(0);
    expect([1, 2, 3, 7, 1_000].map((failures) => backoffDelay(failures, LIMITS))).toEqual([
      500, 1_000, 2_000, 30_000, 30_000,
    ]);
  });

  test("is between half and all of that", () => {
    expect(backoffDelay(2, LIMITS, () => 0)).toBe(500);
    const failures = fc.integer({ min: 1, max: 1e6 });
    const random = fc.double({ min: 0, max: 0.999, noNaN: true });
    fc.assert(
      fc.property(failures, random, (n, r) => {
        const delay = backoffDelay(n, LIMITS, () => r);
        expect(delay).toBeGreaterThanOrEqual(250);
        expect(delay).toBeLessThanOrEqual(30_000);
      }),
    );
  });
});

describe("retry", () => {
  /** Fails `failures` times. */
  function start(failures: number, again: () => number | undefined, signal = new AbortController().signal) {
    const clock = new ManualClock();
    let tries = 0;
    const work = async (): Promise<number> => {
      tries += 1;
      if (tries <= failures) throw new Error(`try ${tries}`);
      return tries;
    };
    const result = retry(work, { ...LIMITS, clock, signal, attempts: 3, again }).catch(
      (error: Error) => error.message,
    );
    return { clock, result, tries: () => tries };
  }

  test("goes on after each wait, also the longer one that a failure asks for", async () => {
    const { clock, result, tries } = start(2, () => 700);
    await settled();
    await clock.advance(699);
    expect(tries()).toBe(1);
    await clock.advance(1);
    expect(tries()).toBe(2);
    await clock.advance(1_000);
    expect(await result).toBe(3);
  });

  test("ends with the last error", async () => {
    const { clock, result } = start(9, () => 0);
    await settled();
    await clock.advance(500);
    await clock.advance(1_000);
    expect(await result).toBe("try 3");
    expect(await start(9, () => undefined).result).toBe("try 1");
  });

  test("ends at once when it is aborted", async () => {
    const stop = new AbortController();
    const { result, tries } = start(9, () => 0, stop.signal);
    await settled();
    stop.abort(new Error("stopped"));
    expect(await result).toBe("stopped");
    expect(tries()).toBe(1);
  });
});

test("a recent map forgets the key that was set longest ago", () => {
  const map = new RecentMap<string, number>(2);
  map.set("a", 1);
  map.set("b", 2);
  map.set("a", 3);
  map.set("c", 4);
  expect(["a", "b", "c"].map((key) => map.get(key))).toEqual([3, undefined, 4]);
  map.delete("a");
  expect(map.get("a")).toBeUndefined();
});
