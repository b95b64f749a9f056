import { afterEach, beforeEach, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import {
  type LogLine,
  quiet,
  recordingLogger,
  startWorld,
  until,
  type World,
} from "../../test/support/kubernetes/world.ts";
import type { Kubernetes } from "./create.ts";

let world: World;
let clock: ManualClock;
let log: LogLine[];
let stops: AbortController[];
let ended: Promise<void>[];

beforeEach(async () => {
  world = await startWorld();
  clock = new ManualClock();
  log = [];
  stops = [];
  ended = [];
});
afterEach(async () => {
  for (const stop of stops) stop.abort();
  world.api.faults.length = 0;
  await Promise.all(ended);
  await world.stop();
});

interface Candidate {
  readonly stop: () => void;
  readonly ended: Promise<void>;
  /** Signals of its terms so far. */
  readonly terms: AbortSignal[];
  leading(): boolean;
}

/** A replica with its own connections; its loop runs until it is told to stop. */
async function candidate(
  identity: string,
  work?: (signal: AbortSignal) => Promise<void>,
): Promise<Candidate> {
  const client: Kubernetes = await world.client({ clock, logger: recordingLogger(log), random: () => 0 });
  const stop = new AbortController();
  const terms: AbortSignal[] = [];
  const untilAborted = (signal: AbortSignal) =>
    new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  const onStarted = async (signal: AbortSignal) => {
    terms.push(signal);
    await (work ?? untilAborted)(signal);
  };
  const options = { name: "rds-csi-reconcile", namespace: "storage", identity, onStarted };
  const run = client.leaders.runAsLeader(options, stop.signal);
  stops.push(stop);
  ended.push(run);
  return {
    stop: () => stop.abort(),
    ended: run,
    terms,
    leading: () => terms.at(-1)?.aborted === false,
  };
}

// biome-ignore lint/suspicious/noExplicitAny: the Lease as stored
const lease = (): any => world.api.get("Lease", "rds-csi-reconcile", "storage");
const writes = () => world.api.accesses.filter(({ verb }) => verb === "update").length;

/** Moves time on in small steps and lets the network keep up. */
async function pass(ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= 500) {
    await clock.advance(Math.min(500, left));
    await quiet(world);
  }
}

test("the first takes the lease and keeps it, the second waits", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  const b = await candidate("pod-b");
  await pass(60_000);
  expect([a.leading(), b.terms.length]).toEqual([true, 0]);
  expect(lease().spec).toMatchObject({
    holderIdentity: "pod-a",
    leaseDurationSeconds: 15,
    leaseTransitions: 0,
  });
  expect(lease().spec.renewTime).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  expect(Date.parse(lease().spec.renewTime) - Date.parse(lease().spec.acquireTime)).toBeGreaterThan(50_000);
  expect(writes()).toBeGreaterThan(20);
});

test("stopping gives the lease back after the loop has ended, and the other takes over at once", async () => {
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const a = await candidate("pod-a", () => finished);
  await until("a leads", a.leading);
  const b = await candidate("pod-b");
  a.stop();
  await until("a is told to stop", () => !a.leading());
  await pass(4_000);
  expect([lease().spec.holderIdentity, b.terms.length]).toEqual(["pod-a", 0]);
  finish();
  await a.ended;
  expect(lease().spec.holderIdentity).toBe("");
  await pass(2_000);
  await until("b leads", b.leading);
  expect(lease().spec).toMatchObject({ holderIdentity: "pod-b", leaseTransitions: 2 });
});

test("a leader that is cut off stops before another may begin", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  await pass(5_000);
  const b = await candidate("pod-b");
  let stoppedAt = 0;
  a.terms[0]?.addEventListener("abort", () => {
    stoppedAt = clock.monotonic();
  });
  const seen = writes();
  world.api.faults.push({ match: ({ verb }) => verb === "update", hang: true, times: 99 });
  const cutAt = clock.monotonic();
  await pass(12_000);
  expect([a.leading(), b.terms.length, lease().spec.holderIdentity]).toEqual([false, 0, "pod-a"]);
  expect(stoppedAt - cutAt).toBeLessThanOrEqual(10_500);
  expect(writes()).toBeGreaterThan(seen);
  world.api.faults.length = 0;
  // Only one of the two can have it again.
  await pass(10_000);
  await until("somebody leads", () => a.leading() || b.leading());
  expect([a, b].filter((replica) => replica.leading())).toHaveLength(1);
  expect(log.some(({ message }) => message === "lease lost, stopping")).toBe(true);
});

test("the lease of a dead holder is taken after it was seen unchanged for its duration, whatever its clock says", async () => {
  world.api.apply({
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "rds-csi-reconcile", namespace: "storage" },
    spec: {
      holderIdentity: "dead",
      leaseDurationSeconds: 15,
      renewTime: "2001-01-01T00:00:00.000000Z",
      leaseTransitions: 7,
    },
  });
  const a = await candidate("pod-a");
  await until("it has been seen", () => clock.sleeping >= 1);
  await pass(14_000);
  expect(a.terms).toHaveLength(0);
  await pass(4_000);
  await until("a leads", a.leading);
  expect(lease().spec).toMatchObject({ holderIdentity: "pod-a", leaseTransitions: 8 });
});

test("somebody who takes the lease by force ends the term at once", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  world.api.apply({ ...lease(), spec: { ...lease().spec, holderIdentity: "usurper" } });
  await pass(3_000);
  await until("a has stopped", () => !a.leading());
  expect(lease().spec.holderIdentity).toBe("usurper");
});

test("a renewal whose answer was lost does not end the term", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  world.api.faults.push({ match: ({ verb }) => verb === "update", drop: "after", times: 1 });
  await pass(12_000);
  expect([a.leading(), a.terms.length]).toEqual([true, 1]);
});

test("a stop in the middle of a renewal still gives the lease back", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  world.api.faults.push({ match: ({ verb }) => verb === "update", drop: "after", times: 1 });
  await clock.advance(2_000);
  await until("the renewal was executed", () => writes() === 1);
  a.stop();
  await a.ended;
  expect(lease().spec.holderIdentity).toBe("");
});

test("of many that come at once exactly one leads", async () => {
  const all = await Promise.all(Array.from({ length: 6 }, (_, index) => candidate(`pod-${index}`)));
  await until("one leads", () => all.some((replica) => replica.leading()));
  await pass(20_000);
  expect(all.filter((replica) => replica.leading())).toHaveLength(1);
  expect(all.reduce((sum, { terms }) => sum + terms.length, 0)).toBe(1);
});

test("a loop that fails is logged and started again", async () => {
  let runs = 0;
  const a = await candidate("pod-a", async () => {
    runs += 1;
    if (runs < 3) throw new Error("boom");
    await new Promise<void>((resolve) => stops[0]?.signal.addEventListener("abort", () => resolve()));
  });
  await until("the first run has failed", () => runs === 1);
  await pass(10_000);
  await until("it runs again", () => runs === 3 && a.leading());
  expect(log.filter(({ message }) => message === "background loop failed")).toHaveLength(2);
});

test("without an API server it waits, says so once, and leads when there is one", async () => {
  await world.api.down();
  const a = await candidate("pod-a");
  await pass(20_000);
  expect(a.terms).toHaveLength(0);
  expect(log.filter(({ level }) => level === "warn")).toHaveLength(1);
  await world.api.up();
  await pass(3_000);
  await until("a leads", a.leading);
});

test("a candidate that never led ends without a trace", async () => {
  const a = await candidate("pod-a");
  await until("a leads", a.leading);
  const b = await candidate("pod-b");
  b.stop();
  await b.ended;
  expect(lease().spec.holderIdentity).toBe("pod-a");
});
