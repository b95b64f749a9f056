import { expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { noDevices, shortDirectory } from "../support/executable.ts";
import { cleanUp } from "../support/leftovers.ts";
import { capture } from "../support/processes.ts";
import { History, historyLines } from "./history.ts";
import { violations } from "./invariants.ts";

/** Lets rejections that nobody waits for be noticed. */
const noticed = () => new Promise((resolve) => setTimeout(resolve, 0));
const textsOf = (history: History) => violations(history.facts).map(({ text }) => text);

test("work that rejects before it is awaited is a violation at once, and once, and its awaiter gets the error too", async () => {
  const history = new History();
  const error = new Error("the watch broke");
  const work = history.begun(Promise.reject(error));
  await noticed();
  expect(textsOf(history)).toEqual(["log of campaign: Error: the watch broke"]);
  await expect(work).rejects.toBe(error);
  history.broke(error);
  expect(textsOf(history)).toHaveLength(1);
  expect(historyLines(history.facts).join()).toContain("the watch broke");
});

test("work that is awaited in time and succeeds is none", async () => {
  const history = new History();
  expect(await history.begun(Promise.resolve(7))).toBe(7);
  expect(history.facts).toEqual([]);
});

test.skipIf(noDevices !== "")(
  `a rejection that nobody waits for yet is a violation of the round that runs, with its seed, and ends no process ${noDevices}`.trim(),
  async () => {
    const base = await shortDirectory();
    try {
      const script = join(import.meta.dirname, "rejecting-round.fixture.ts");
      const { code, stdout, stderr } = await capture(process.execPath, [script, base]);
      expect([code, stderr]).toEqual([0, ""]);
      const line = "log of campaign: Error: forgotten (nobody waited for it; rounds that ran: 7)";
      expect(JSON.parse(stdout)).toEqual([{ invariant: "defect", text: line }]);
    } finally {
      await cleanUp(join(base, "r1", "s"));
      await rm(base, { recursive: true, force: true });
    }
  },
  60_000,
);
