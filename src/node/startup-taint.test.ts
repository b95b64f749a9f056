import { beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import { type LogLine, recordingLogger } from "../../test/support/kubernetes/world.ts";
import { failure } from "../domain/errors/driver-error.ts";
import type { OwnNode } from "../kubernetes/own-node.ts";

import { removeStartupTaint, startupTaintKey } from "./startup-taint.ts";

const DRIVER = "rds.csi.srvlab.io";
let clock: ManualClock;
let log: LogLine[];
let calls: string[];
beforeEach(() => {
  clock = new ManualClock();
  log = [];
  calls = [];
});

/** A node whose answers are given in advance; the last of each stays. */
function nodeOf(answers: {
  has?: readonly boolean[];
  registered?: readonly boolean[];
  removed?: readonly (boolean | Error)[];
}): OwnNode {
  const next = <T>(name: string, list: readonly T[]) => {
    let at = 0;
    return async (key: unknown): Promise<Exclude<T, Error>> => {
      calls.push(typeof key === "string" ? `${name} ${key}` : name);
      const value = list[Math.min(at, list.length - 1)];
      at += 1;
      if (value instanceof Error) throw value;
      return value as Exclude<T, Error>;
    };
  };
  return {
    hasTaint: next("has", answers.has ?? [true]),
    isRegistered: next("registered", answers.registered ?? [true]),
    removeTaint: next("remove", answers.removed ?? [true]),
  };
}

/** Runs it to its end, moving the clock whenever it pauses. */
async function run(node: OwnNode, notReadyReasons = (): readonly string[] => []): Promise<number> {
  let ended = false;
  const deps = { node, driverName: DRIVER, notReadyReasons, clock, logger: recordingLogger(log) };
  const running = removeStartupTaint(deps, new AbortController().signal).then(() => {
    ended = true;
  });
  for (let turns = 0; !ended; turns += 1) {
    if (turns > 10_000) throw new Error("it does not end");
    if (clock.sleeping > 0) await clock.advance(1_000);
    else await new Promise((resolve) => setImmediate(resolve));
  }
  await running;
  return clock.monotonic();
}

const KEY = `${DRIVER}/agent-not-ready`;
const unavailable = failure("kubernetesUnavailable", { verb: "patch", resource: "node a", reason: "down" });

describe("the start-up taint", () => {
  test("its key is made of the driver's name", () => expect(startupTaintKey(DRIVER)).toBe(KEY));

  test("a node without it costs one call", async () => {
    await run(nodeOf({ has: [false] }));
    expect(calls).toEqual([`has ${KEY}`]);
    expect(log).toEqual([]);
  });

  test("stays until kubelet has registered the driver", async () => {
    const took = await run(nodeOf({ registered: [false, false, false, true] }));
    expect(calls.filter((call) => call.startsWith("remove"))).toEqual([`remove ${KEY}`]);
    expect(calls.filter((call) => call === "registered")).toHaveLength(4);
    // 1, 2 and 4 seconds.
    expect(took).toBe(7_000);
    expect(log.filter(({ level }) => level !== "debug")).toEqual([
      { level: "info", message: "removed the start-up taint", fields: { taint: KEY } },
    ]);
  });

  test("stays while the node is not ready, however long, and goes soon after it is; the log says why it stays", async () => {
    const module = "the kernel module nvme-tcp is not loaded";
    const hour = 3_600_000;
    const asked: string[][] = [];
    const took = await run(nodeOf({}), () => {
      if (clock.monotonic() >= hour) return [];
      asked.push([...calls]);
      return [module];
    });
    expect(took).toBeGreaterThanOrEqual(hour);
    expect(took).toBeLessThanOrEqual(hour + 30_000);
    // The API server is not asked while the node waits for itself.
    expect(asked.every((before) => before.length === 1)).toBe(true);
    expect(calls).toEqual([`has ${KEY}`, `has ${KEY}`, "registered", `remove ${KEY}`]);
    expect(log.filter(({ level }) => level !== "debug")).toEqual([
      {
        level: "warn",
        message: "the start-up taint stays until the node is ready",
        fields: { taint: KEY, reasons: [module] },
      },
      { level: "info", message: "removed the start-up taint", fields: { taint: KEY } },
    ]);
  });

  test("a node that stops being ready between registration and removal keeps it too", async () => {
    const wasAsked = () => calls.includes("registered");
    let left = 3;
    const took = await run(nodeOf({}), () => (wasAsked() && left-- > 0 ? ["starting or stopping"] : []));
    expect(took).toBe(3_000);
    expect(calls).toEqual([`has ${KEY}`, "registered", `has ${KEY}`, "registered", `remove ${KEY}`]);
    expect(log.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("a node without it may be not ready for ever: nothing is waited for, and nothing is said", async () => {
    expect(await run(nodeOf({ has: [false] }), () => ["no"])).toBe(0);
    expect(log).toEqual([]);
  });

  test("a lost race and an API server that is away are tried again", async () => {
    await run(nodeOf({ removed: [false, unavailable, true] }));
    expect(calls.filter((call) => call.startsWith("remove"))).toHaveLength(3);
    expect(log.at(-1)).toMatchObject({ level: "info" });
  });

  test("without the right it is not tried again, and the log says what to grant", async () => {
    const forbidden = failure("kubernetesForbidden", { verb: "patch", resource: "node a", detail: "no" });
    await run(nodeOf({ removed: [forbidden] }));
    expect(calls).toHaveLength(3);
    expect(log).toHaveLength(1);
    expect(log[0]).toMatchObject({ level: "warn", message: "the start-up taint was not removed" });
    expect(String(log[0]?.fields?.remedy)).toContain("patch of nodes");
  });

  test("the tries are bounded: a driver that never gets registered leaves a warning after half an hour", async () => {
    const took = await run(nodeOf({ registered: [false] }));
    expect(calls.filter((call) => call === "registered")).toHaveLength(64);
    expect(took).toBeGreaterThan(25 * 60_000);
    expect(took).toBeLessThan(35 * 60_000);
    expect(log.at(-1)?.fields?.reason).toBe("kubelet has not registered the driver yet");
  });

  test("ends at once, and silently, when the node stops", async () => {
    const stop = new AbortController();
    const node = nodeOf({ registered: [false] });
    const running = removeStartupTaint(
      { node, driverName: DRIVER, notReadyReasons: () => [], clock, logger: recordingLogger(log) },
      stop.signal,
    );
    while (clock.sleeping === 0) await new Promise((resolve) => setImmediate(resolve));
    stop.abort();
    await running;
    expect(log.filter(({ level }) => level !== "debug")).toEqual([]);
  });
});
