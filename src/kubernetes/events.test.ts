import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { ManualClock } from "../../test/support/clock.ts";
import {
  DRIVER,
  type LogLine,
  persistentVolume,
  recordingLogger,
  startWorld,
  until,
  type World,
} from "../../test/support/kubernetes/world.ts";
import { printable } from "../domain/printable.ts";
import type { Kubernetes } from "./create.ts";
import { truncated } from "./event-object.ts";
import { COMBINED, EventSeries } from "./event-series.ts";

const claim = { namespace: "vms", name: "data", uid: "claim-uid" };
const started = { type: "Normal", reason: "MigrationStarted", message: "from a to b" } as const;

let world: World;
let clock: ManualClock;
let log: LogLine[];
let client: Kubernetes;
beforeEach(async () => {
  world = await startWorld();
  clock = new ManualClock(Date.UTC(2026, 10, 1, 12));
  log = [];
  let draws = 0;
  const random = () => {
    draws += 1;
    return 0.5 + draws / 1e6;
  };
  client = await world.client({ clock, logger: recordingLogger(log), random });
});
afterEach(() => world.stop());

// biome-ignore lint/suspicious/noExplicitAny: Event objects as stored
const stored = (): any[] => world.api.list("Event");
/** And the reporter has noticed: nothing is under way. */
const untilCount = (count: number) =>
  until(
    `an event counts ${count}`,
    () => stored().some((event) => event.count === count) && clock.sleeping === 0,
  );
/** Attempts that failed: the reporter waits before the next. */
const retries = () => log.filter(({ message }) => message === "event is tried again").length;
const warnings = () => log.filter(({ level }) => level === "warn").map(({ message }) => message);

test("an event is on the claim, in its namespace, by this driver", async () => {
  client.events.post({ ...started, claim });
  await untilCount(1);
  const [event] = stored();
  expect(event).toMatchObject({
    apiVersion: "v1",
    kind: "Event",
    metadata: { namespace: "vms" },
    involvedObject: { apiVersion: "v1", kind: "PersistentVolumeClaim", ...claim },
    ...started,
    count: 1,
    source: { component: DRIVER },
    reportingComponent: DRIVER,
    reportingInstance: "rds-csi-controller-0",
  });
  expect(event.metadata.name).toMatch(/^data\.[0-9a-f]+$/);
  expect(Date.parse(event.firstTimestamp)).toBe(Date.UTC(2026, 10, 1, 12));
  expect(event.lastTimestamp).toBe(event.firstTimestamp);
  expect(event.eventTime).toBeUndefined();
});

test("the claim is found through the PersistentVolume", async () => {
  world.api.apply(persistentVolume("pv-1", "csi-1", { claim }));
  client.events.postForVolume("csi-1", started);
  await untilCount(1);
  expect(stored()[0].involvedObject.uid).toBe("claim-uid");
});

test("a volume without a claim has no events, and later ones are not held up", async () => {
  client.events.postForVolume("csi-absent", started);
  client.events.post({ ...started, claim });
  await untilCount(1);
  expect(stored()).toHaveLength(1);
  expect(warnings()).toEqual([]);
});

test("the same again within ten minutes counts up, later it is a new event", async () => {
  client.events.post({ ...started, claim });
  await untilCount(1);
  await clock.advance(300_000);
  client.events.post({ ...started, claim });
  await untilCount(2);
  const [event] = stored();
  expect(stored()).toHaveLength(1);
  expect(Date.parse(event.lastTimestamp) - Date.parse(event.firstTimestamp)).toBe(300_000);
  await clock.advance(600_001);
  client.events.post({ ...started, claim });
  await until("there are two", () => stored().length === 2);
});

test("another message, reason, type or claim is another event", async () => {
  client.events.post({ ...started, claim });
  client.events.post({ ...started, message: "from b to a", claim });
  client.events.post({ ...started, reason: "MigrationCompleted", claim });
  client.events.post({ ...started, type: "Warning", claim });
  client.events.post({ ...started, claim: { ...claim, uid: "other-uid" } });
  client.events.post({ ...started, claim: { ...claim, namespace: "other", uid: "third-uid" } });
  await until("there are six", () => stored().length === 6);
  expect(stored().every((event) => event.count === 1)).toBe(true);
});

test("an event whose object has expired is made again, with its count", async () => {
  client.events.post({ ...started, claim });
  await untilCount(1);
  world.api.delete("Event", stored()[0].metadata.name, "vms");
  client.events.post({ ...started, claim });
  await untilCount(2);
});

test("a lost answer does not make two", async () => {
  world.api.faults.push({ match: ({ verb }) => verb === "create", drop: "after", times: 1 });
  client.events.post({ ...started, claim });
  await until("the reporter waits", () => retries() === 1);
  expect(stored()).toHaveLength(1);
  await clock.advance(500);
  await untilCount(1);
  client.events.post({ ...started, claim });
  await untilCount(2);
  expect(stored()).toHaveLength(1);
  expect(warnings()).toEqual([]);
});

test("events survive an API server that is down, in order", async () => {
  await world.api.down();
  client.events.post({ ...started, claim });
  client.events.post({ ...started, reason: "MigrationCompleted", claim });
  await until("the reporter waits", () => retries() === 1);
  await world.api.up();
  await clock.advance(500);
  await until("both are there", () => stored().length === 2);
  const created = world.api.accesses.filter(({ verb }) => verb === "create");
  expect(created).toHaveLength(2);
});

test("an event that cannot be delivered is given up and logged", async () => {
  world.api.faults.push({ match: ({ namespace }) => namespace === "vms", status: 503 });
  client.events.post({ ...started, claim });
  for (let round = 0; round < 5; round += 1) {
    await until("the reporter waits", () => retries() === round + 1);
    await clock.advance(30_000);
  }
  await until("it is given up", () => warnings().length === 1);
  expect(warnings()).toEqual(["event could not be delivered"]);
  expect(world.api.accesses).toHaveLength(6);
});

test("a namespace that is being deleted takes no events: no second attempt", async () => {
  world.api.faults.push({ status: 403, reason: "Forbidden", times: 1 });
  client.events.post({ ...started, claim });
  await until("it is given up", () => warnings().length === 1);
  expect(world.api.accesses).toHaveLength(1);
});

test("the queue is bounded, and says so once", async () => {
  world.api.faults.push({ hang: true });
  for (let index = 0; index < 1_010; index += 1)
    client.events.post({ ...started, claim: { ...claim, uid: `u${index}` } });
  expect(warnings()).toEqual(["events are dropped, as too many wait"]);
});

test("closing delivers what waits, and takes nothing more", async () => {
  for (let index = 0; index < 20; index += 1)
    client.events.post({ ...started, claim: { ...claim, uid: `u${index}` } });
  await client.close(60_000);
  expect(stored()).toHaveLength(20);
  client.events.post({ ...started, claim: { ...claim, uid: "late" } });
  expect(clock.sleeping).toBe(0);
});

test("closing does not wait longer than it may", async () => {
  world.api.faults.push({ hang: true });
  client.events.post({ ...started, claim });
  client.events.post({ ...started, claim: { ...claim, uid: "second" } });
  await until("the first is under way", () => world.api.accesses.length === 1);
  const closed = client.close(3_000);
  await until("the deadline is timed", () => clock.sleeping === 2);
  await clock.advance(3_000);
  await closed;
  expect(warnings()).toEqual(["events given up at shutdown"]);
});

describe("series", () => {
  const event = (message: string, reason = "R") => ({ type: "Warning", reason, message, claim }) as const;
  const random = () => 0.5;

  test("the eleventh different message is combined with those that follow", () => {
    const series = new EventSeries();
    for (let index = 0; index < 10; index += 1)
      expect(series.admit(event(`m${index}`), 0, 0, random)?.message).toBe(`m${index}`);
    const first = series.admit(event("m10"), 0, 0, random);
    const second = series.admit(event("m11"), 0, 0, random);
    expect([first?.message, second?.message]).toEqual([`${COMBINED}m10`, `${COMBINED}m11`]);
    expect(second?.series).toBe(first?.series as never);
    expect(second?.series.count).toBe(2);
    expect(series.admit(event("m3"), 0, 0, random)?.series.count).toBe(2);
    expect(series.admit(event("m10", "Other"), 0, 0, random)?.message).toBe("m10");
  });

  test("25 at once per claim, then one per five minutes", () => {
    const series = new EventSeries();
    const admitted = (count: number, at: number) => {
      let passed = 0;
      for (let index = 0; index < count; index += 1)
        if (series.admit(event("m"), at, at, random) !== undefined) passed += 1;
      return passed;
    };
    expect(admitted(100, 0)).toBe(25);
    expect(admitted(10, 299_999)).toBe(0);
    expect(admitted(10, 300_000)).toBe(1);
    expect(admitted(100, 300_000 * 100)).toBe(25);
    expect(series.admit({ ...event("m"), claim: { ...claim, uid: "x" } }, 0, 0, random)).toBeDefined();
  });

  test("memory does not grow with the number of claims or messages", () => {
    const series = new EventSeries();
    for (let index = 0; index < 5_000; index += 1)
      series.admit({ ...event("m"), claim: { ...claim, uid: `u${index}` } }, index, index, random);
    // The first claim was forgotten: its event starts a new series; the last was not.
    expect(
      series.admit({ ...event("m"), claim: { ...claim, uid: "u0" } }, 1, 5_000, random)?.series.count,
    ).toBe(1);
    expect(
      series.admit({ ...event("m"), claim: { ...claim, uid: "u4999" } }, 1, 5_000, random)?.series.count,
    ).toBe(2);
  });
});

test("messages are cut at 1024 bytes, between characters", () => {
  expect(truncated("x".repeat(1_024))).toHaveLength(1_024);
  fc.assert(
    fc.property(fc.string({ unit: "grapheme", minLength: 300, maxLength: 2_000 }), (text) => {
      const cut = truncated(text);
      const message = printable(text);
      expect(Buffer.byteLength(cut)).toBeLessThanOrEqual(1_024);
      expect(cut === message || (cut.endsWith("...") && message.startsWith(cut.slice(0, -3)))).toBe(true);
    }),
  );
});
