import { describe, expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock, settled } from "../../test/support/clock.ts";
import { failure } from "../domain/errors/driver-error.ts";
import { createConnectMetrics } from "./connect-metrics.ts";
import { createConnectQueue } from "./connect-queue.ts";

function world(limit: number) {
  const clock = new ManualClock();
  let random = 0;
  const queue = createConnectQueue({ limit, clock, random: () => random });
  const started: string[] = [];
  const ends = new Map<string, { resolve: () => void; reject: (error: Error) => void }>();
  const answers: Record<string, string> = {};
  const ask = (name: string, signal?: AbortSignal): void => {
    const work = (): Promise<void> => {
      started.push(name);
      return new Promise((resolve, reject) => ends.set(name, { resolve, reject }));
    };
    queue.run(name, work, signal).then(
      () => {
        answers[name] = "ok";
      },
      (error: Error) => {
        answers[name] = error.message;
      },
    );
  };
  const end = async (name: string, error?: Error): Promise<void> => {
    const found = ends.get(name);
    if (found === undefined) throw new Error(`${name} does not run`);
    if (error === undefined) found.resolve();
    else found.reject(error);
    await settled();
    await clock.advance(0);
  };
  return {
    clock,
    queue,
    started,
    answers,
    ask,
    end,
    setRandom: (value: number) => {
      random = value;
    },
  };
}

describe("the queue of connects", () => {
  test("so many at once, the others in the order of asking, each end admits one", async () => {
    const { queue, started, ask, end, answers } = world(2);
    for (const name of ["a", "b", "c", "d", "e"]) ask(name);
    await settled();
    expect([started, queue.running, queue.waiting]).toEqual([["a", "b"], 2, 3]);
    await end("b");
    expect([started, queue.running, queue.waiting]).toEqual([["a", "b", "c"], 2, 2]);
    // Who comes now cannot overtake.
    ask("f");
    await end("c", new Error("refused"));
    await end("d");
    expect(started).toEqual(["a", "b", "c", "d", "e"]);
    expect(answers).toEqual({ b: "ok", c: "refused", d: "ok" });
    for (const name of ["a", "e", "f"]) await end(name);
    expect([queue.running, queue.waiting]).toEqual([0, 0]);
  });

  test("a hung connect keeps its own place only", async () => {
    const { started, ask, end } = world(2);
    for (const name of ["hung", "b", "c", "d"]) ask(name);
    await settled();
    for (const name of ["b", "c", "d"]) await end(name);
    expect(started).toEqual(["hung", "b", "c", "d"]);
  });

  test("without a queue there is no pause; who had to wait pauses by chance, at most 250 ms", async () => {
    const { clock, started, ask, end, setRandom } = world(1);
    setRandom(0.999);
    ask("a");
    await settled();
    expect(started).toEqual(["a"]);
    ask("b");
    await settled();
    await end("a");
    expect(started).toEqual(["a"]);
    await clock.advance(248);
    expect(started).toEqual(["a"]);
    await clock.advance(2);
    expect(started).toEqual(["a", "b"]);
    await end("b");
    expect(clock.sleeping).toBe(0);
  });

  test("a caller that goes leaves the queue with its reason, and the order stays", async () => {
    const { queue, started, ask, end, answers, clock } = world(1);
    const deadline = new AbortController();
    const cancel = new AbortController();
    ask("a");
    ask("b", deadline.signal);
    ask("c", cancel.signal);
    ask("d");
    await settled();
    deadline.abort(failure("deadlineExceeded", { what: "NodeStageVolume", seconds: 120 }));
    cancel.abort();
    await settled();
    expect(answers.b).toStartWith("NodeStageVolume did not finish within 120 s.");
    expect(answers.c).toStartWith("c was cancelled by the caller.");
    expect([queue.running, queue.waiting]).toEqual([1, 1]);
    await end("a");
    expect(started).toEqual(["a", "d"]);
    ask("e", cancel.signal);
    await settled();
    expect(answers.e).toStartWith("e was cancelled by the caller.");
    await end("d");
    expect([queue.running, queue.waiting, clock.sleeping]).toEqual([0, 0, 0]);
  });

  test("a caller that goes during its pause frees the place", async () => {
    const { queue, ask, end, answers, started, setRandom, clock } = world(1);
    setRandom(0.9);
    const cancel = new AbortController();
    ask("a");
    ask("b", cancel.signal);
    ask("c");
    await settled();
    await end("a");
    cancel.abort(failure("shuttingDown", {}));
    await settled();
    await clock.advance(250);
    expect(answers.b).toStartWith("the driver is shutting down");
    expect([started, queue.running, queue.waiting]).toEqual([["a", "c"], 1, 0]);
  });

  test("waiting ends after 45 s with an error that says why", async () => {
    const { queue, ask, answers, clock, end } = world(1);
    ask("a");
    ask("connecting nqn.b");
    await clock.advance(10_000);
    ask("connecting nqn.c");
    await clock.advance(35_000);
    expect(answers["connecting nqn.b"]).toStartWith(
      "connecting nqn.b waited 45 s for its turn: 1 connects run on this node, 0 more are ahead.",
    );
    expect(answers["connecting nqn.c"]).toBeUndefined();
    expect(queue.waiting).toBe(1);
    await end("a");
    await end("connecting nqn.c");
    expect(answers["connecting nqn.c"]).toBe("ok");
    expect([queue.running, queue.waiting, clock.sleeping]).toEqual([0, 0, 0]);
  });

  test("a limit that is none is refused", () => {
    for (const limit of [0, -1, 1.5, Number.NaN]) {
      expect(() => createConnectQueue({ limit, clock: new ManualClock() })).toThrow(RangeError);
    }
  });
});

test("metrics: the queue as it is at the scrape, outcomes from the start", async () => {
  const registry = new Registry();
  const queue = { running: 0, waiting: 0 };
  const ended = createConnectMetrics(registry, queue);
  expect(await registry.metrics()).toContain('rds_csi_nvme_connects_total{outcome="failed"} 0');
  ended("ok");
  Object.assign(queue, { running: 4, waiting: 7 });
  const text = await registry.metrics();
  expect(text).toContain('rds_csi_nvme_connects_total{outcome="ok"} 1');
  expect(text).toContain("rds_csi_nvme_connects_running 4");
  expect(text).toContain("rds_csi_nvme_connects_waiting 7");
});
