import { expect, test } from "bun:test";
import { systemClock } from "../domain/clock.ts";
import type { Bench } from "./bench.ts";
import type { Experiment } from "./experiment.ts";
import { runExperiments } from "./run.ts";

test("an experiment that is over its limit ends before the next one begins", async () => {
  const order: string[] = [];
  const bench = { clock: systemClock, main: async () => {} } as unknown as Bench;
  const experiment = (id: string, limitMs: number, ms: number): Experiment => ({
    ...{ id, limitMs, stage: "scratch", question: "?", does: "", answers: {}, settles: [] },
    ask: async () => {
      order.push(`${id} begins`);
      await Bun.sleep(ms);
      order.push(`${id} has cleaned up`);
      return { answer: "x", came: "" };
    },
  });
  const both = [experiment("slow", 5, 100), experiment("next", 60_000, 1)];
  const watcher = { onBegin: () => {}, onEnd: () => {} };
  const results = await runExperiments(bench, both, new AbortController().signal, watcher);
  expect(results.map(({ answer }) => answer.answer)).toEqual(["unanswered", "x"]);
  expect(order).toEqual(["slow begins", "slow has cleaned up", "next begins", "next has cleaned up"]);
});
