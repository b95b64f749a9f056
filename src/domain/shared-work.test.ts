import { describe, expect, test } from "bun:test";
import { AsyncLocalStorage } from "node:async_hooks";
import { SharedWork } from "./shared-work.ts";

const forever = new AbortController().signal;

/** Work that ends when it is told to. */
function gate() {
  const started: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<string>>();
  const signals: AbortSignal[] = [];
  const work = (name: string) => (signal: AbortSignal) => {
    started.push(name);
    signals.push(signal);
    const end = Promise.withResolvers<string>();
    ends.set(name, end);
    signal.addEventListener("abort", () => end.reject(signal.reason), { once: true });
    return end.promise;
  };
  return { started, work, signals, end: (name: string) => ends.get(name)?.resolve(name) };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

describe("shared work", () => {
  test("runs at most so many at a time; who comes before it begins shares it, who comes later does not", async () => {
    const { started, work, end } = gate();
    const shared = new SharedWork(1);
    const first = shared.run("list", forever, work("first"));
    const later = Array.from({ length: 50 }, () => shared.run("list", forever, work("second")));
    const other = shared.run("other", forever, work("other"));
    expect(started).toEqual(["first"]);
    end("first");
    expect(await first).toBe("first");
    await settled();
    expect(started).toEqual(["first", "second"]);
    end("second");
    expect(new Set(await Promise.all(later))).toEqual(new Set(["second"]));
    await settled();
    end("other");
    expect(await other).toBe("other");
    expect(started).toEqual(["first", "second", "other"]);
  });

  test("runs on behalf of its first caller, whoever ended the work before it; the others are told of that caller", async () => {
    const scope = new AsyncLocalStorage<string>();
    const { work, end } = gate();
    const told: string[] = [];
    const shared = new SharedWork(
      1,
      () => scope.getStore(),
      (owner) => told.push(`${scope.getStore()} joined ${owner}`),
    );
    const before = scope.run("a", () => shared.run("list", forever, work("first")));
    const seen = () => Promise.resolve(scope.getStore());
    const mine = scope.run("b", () => shared.run("list", forever, seen));
    const joined = scope.run("c", () => shared.run("list", forever, seen));
    end("first");
    expect(await Promise.all([before, mine, joined])).toEqual(["first", "b", "b"]);
    expect(told).toEqual(["c joined b"]);
  });

  test("goes on for the callers that stay, and is aborted when the last one has gone", async () => {
    const { work, signals, started } = gate();
    const shared = new SharedWork(1);
    const [one, two] = [new AbortController(), new AbortController()];
    const calls = [shared.run("list", one.signal, work("a"))];
    calls.push(shared.run("list", two.signal, work("b")), shared.run("list", one.signal, work("b")));
    const ends = calls.map((call) => call.catch((error) => String(error)));
    one.abort(new Error("gone"));
    expect(await ends[0]).toBe("Error: gone");
    expect(await ends[2]).toBe("Error: gone");
    expect(signals[0]?.aborted).toBe(true);
    await settled();
    expect(started).toEqual(["a", "b"]);
    expect(signals[1]?.aborted).toBe(false);
    two.abort(new Error("gone too"));
    expect(await ends[1]).toBe("Error: gone too");
    expect(signals[1]?.aborted).toBe(true);
  });

  test("never begins once nobody waits for it", async () => {
    const { work, started, end } = gate();
    const shared = new SharedWork(1);
    const first = shared.run("list", forever, work("first"));
    const leaving = new AbortController();
    const left = shared.run("list", leaving.signal, work("second")).catch((error) => String(error));
    leaving.abort(new Error("gone"));
    expect(await left).toBe("Error: gone");
    end("first");
    await first;
    await settled();
    expect(started).toEqual(["first"]);
    await expect(shared.run("list", AbortSignal.abort(new Error("too late")), work("x"))).rejects.toThrow(
      "too late",
    );
  });

  test("a failure is that of all who share it, and the next work runs", async () => {
    const shared = new SharedWork(1);
    const fail = () => Promise.reject(new Error("broken"));
    await expect(shared.run("list", forever, fail)).rejects.toThrow("broken");
    expect(await shared.run("list", forever, async () => 1)).toBe(1);
  });
});
