import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
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
import { systemClock } from "../domain/clock.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { AbnormalCondition } from "../node/health/health.ts";
import { createHealthWatch } from "../node/health/health-watch.ts";
import { nodeEvents } from "./node-events.ts";

const handles = Array.from({ length: 20 }, (_, index) => volumeIdFromName(`volume-${index}`));
const LOST: readonly AbnormalCondition[] = [{ cause: "device-vanished", message: "the device has vanished" }];
let world: World;
let log: LogLine[];
let kubeconfig: string;
beforeEach(async () => {
  world = await startWorld();
  log = [];
  kubeconfig = await world.api.writeKubeconfig(join(world.dir, "node"));
});
afterEach(() => world.stop());

const config = (over: object = {}) =>
  ({ orchestrator: "kubernetes", kubeconfig, driverName: DRIVER, nodeId: "node-a", ...over }) as const;
// biome-ignore lint/suspicious/noExplicitAny: Event objects as stored
const stored = (): any[] => world.api.list("Event");

test("every volume of a node in trouble gets its event, by one list of PersistentVolumes; then it recovers", async () => {
  handles.forEach((handle, index) => {
    world.api.apply(persistentVolume(`pv-${index}`, handle));
  });
  world.api.apply(persistentVolume("pv-other", handles[0] ?? "", { driver: "other.csi" }));
  const events = await nodeEvents(config(), { logger: recordingLogger(log), clock: systemClock });
  const clock = new ManualClock();
  let conditions = LOST;
  const watch = createHealthWatch({
    survey: async () => new Map(handles.map((handle) => [handle, conditions])),
    events: events.sink,
    nodeId: "node-a",
    clock,
    logger: recordingLogger(log),
  });
  const signal = new AbortController().signal;
  await watch.look(signal);
  await clock.advance(30_000);
  await watch.look(signal);
  await until("every claim has its event", () => stored().length === handles.length);
  expect(stored().find(({ involvedObject }) => involvedObject.name === "claim-pv-3")).toMatchObject({
    type: "Warning",
    reason: "VolumeAbnormal",
    message: "On node node-a: the device has vanished",
    involvedObject: { kind: "PersistentVolumeClaim", namespace: "vms", uid: "uid-pv-3" },
    source: { component: DRIVER },
    reportingInstance: "node-a",
  });
  conditions = [];
  await watch.look(signal);
  await until("every claim has its recovery", () => stored().length === 2 * handles.length);
  await events.close();
  const lists = world.api.accesses.filter((request) => JSON.stringify(request).includes("persistentvolumes"));
  expect(lists).toHaveLength(1);
});

test("an API server that is away holds nothing up", async () => {
  await world.api.down();
  const events = await nodeEvents(config(), { logger: recordingLogger(log), clock: systemClock });
  const message = "x";
  events.sink?.postForVolume(handles[0] ?? "", { type: "Warning", reason: "VolumeAbnormal", message });
  await events.close();
});

test("credentials that cannot be used cost the events, not the node", async () => {
  const broken = config({ kubeconfig: join(world.dir, "none") });
  const events = await nodeEvents(broken, { logger: recordingLogger(log), clock: systemClock });
  expect(events.sink).toBeUndefined();
  expect(log).toMatchObject([{ level: "warn", message: "no events will be posted" }]);
  await events.close();
});

test("without an orchestrator there are none", async () => {
  const events = await nodeEvents(config({ orchestrator: "none" }), {
    logger: recordingLogger(log),
    clock: systemClock,
  });
  expect(events.sink).toBeUndefined();
});
