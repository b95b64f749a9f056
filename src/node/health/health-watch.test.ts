import { beforeEach, expect, test } from "bun:test";
import { ManualClock, settled } from "../../../test/support/clock.ts";
import { type LogLine, recordingLogger } from "../../../test/support/kubernetes/world.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { ClaimEvent } from "../../kubernetes/port.ts";
import type { AbnormalCondition } from "./health.ts";
import { createHealthWatch, type HealthWatch } from "./health-watch.ts";

const [A, B] = [volumeIdFromName("a"), volumeIdFromName("b")];
const LOST: readonly AbnormalCondition[] = [{ cause: "device-vanished", message: "the device has vanished" }];
const SLOW: readonly AbnormalCondition[] = [{ cause: "not-live", message: "not live" }];
let clock: ManualClock;
let state: Map<typeof A, readonly AbnormalCondition[]>;
let posted: ({ readonly handle: string } & ClaimEvent)[];
let log: LogLine[];
let watch: HealthWatch;
let failing: boolean;
const signal = new AbortController().signal;

beforeEach(() => {
  clock = new ManualClock();
  state = new Map();
  posted = [];
  log = [];
  failing = false;
  watch = createHealthWatch({
    survey: async () => {
      if (failing) throw new Error("sysfs is away");
      return new Map(state);
    },
    events: { postForVolume: (handle, event) => posted.push({ handle, ...event }) },
    nodeId: "node-a",
    clock,
    logger: recordingLogger(log),
  });
});
const look = async (after = 30_000) => {
  await clock.advance(after);
  await watch.look(signal);
};

test("once per transition: abnormal when it lasts, recovered when it is over", async () => {
  state.set(A, []);
  await look();
  state.set(A, LOST);
  await look();
  expect(posted).toEqual([]);
  for (let round = 0; round < 5; round += 1) await look();
  state.set(A, SLOW);
  await look();
  expect(posted).toEqual([
    {
      handle: A,
      type: "Warning",
      reason: "VolumeAbnormal",
      message: "On node node-a: the device has vanished",
    },
  ]);
  state.set(A, []);
  for (let round = 0; round < 3; round += 1) await look();
  expect(posted.slice(1)).toEqual([
    {
      handle: A,
      type: "Normal",
      reason: "VolumeRecovered",
      message: "On node node-a the volume is normal again, after 210 s",
    },
  ]);
  state.set(A, LOST);
  await look();
  await look();
  expect(posted).toHaveLength(3);
  expect(log.map(({ level }) => level)).toEqual(["warn", "info", "warn"]);
});

test("a condition that is over before the next look is no news", async () => {
  for (let round = 0; round < 5; round += 1) {
    state.set(A, SLOW);
    await look();
    state.set(A, []);
    await look();
  }
  expect(posted).toEqual([]);
});

test("volumes are told apart; one that leaves the node is forgotten without a recovery", async () => {
  state.set(A, LOST).set(B, []);
  await look();
  await look();
  expect(posted.map(({ handle }) => handle)).toEqual([A]);
  state.delete(A);
  state.set(B, SLOW);
  await look();
  await look();
  expect(posted.map(({ handle, reason }) => [handle, reason])).toEqual([
    [A, "VolumeAbnormal"],
    [B, "VolumeAbnormal"],
  ]);
});

test("what cannot be found out is no transition, and is logged once", async () => {
  state.set(A, LOST);
  await look();
  await look();
  failing = true;
  await look();
  await look();
  failing = false;
  await look();
  expect(posted).toHaveLength(1);
  expect(log.filter(({ level }) => level === "warn")).toHaveLength(2);
});

test("a survey that never ends is given up, and the next one starts", async () => {
  let asked = 0;
  const stuck = createHealthWatch({
    survey: () => {
      asked += 1;
      return new Promise(() => {});
    },
    events: undefined,
    nodeId: "node-a",
    clock,
    logger: recordingLogger(log),
  });
  const stop = new AbortController();
  const running = stuck.run(stop.signal);
  await settled();
  await clock.advance(60_000);
  const error = expect.objectContaining({ message: expect.stringContaining("60 s") });
  expect(log).toMatchObject([{ level: "warn", fields: { error } }]);
  await clock.advance(30_000);
  expect(asked).toBe(2);
  stop.abort();
  await running;
});
