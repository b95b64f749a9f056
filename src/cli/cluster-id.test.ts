import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import { CLUSTER_UID } from "../../test/support/kubernetes/fake-api-server.ts";
import {
  forever,
  type LogLine,
  recordingLogger,
  startWorld,
  until,
  type World,
} from "../../test/support/kubernetes/world.ts";
import { startStack } from "../../test/support/rds-stack.ts";
import { systemClock } from "../domain/clock.ts";
import { DriverError } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import { createNodeService } from "../node/service.ts";
import { silentLogger } from "../observability/log.ts";
import { Rds } from "../rds/rds.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { PendingClusterId } from "./cluster-id.ts";

let world: World;
let log: LogLine[];
beforeEach(async () => {
  world = await startWorld();
  log = [];
});
afterEach(() => world.stop());

const deps = () => ({ clock: systemClock, logger: recordingLogger(log) });
async function idOf(call: Promise<unknown>): Promise<string> {
  try {
    return `OK ${await call}`;
  } catch (error) {
    if (!(error instanceof DriverError)) throw error;
    return `${error.id}: ${error.summary}`;
  }
}

describe("the id of a cluster that has none configured", () => {
  test("is the UID of the namespace kube-system", async () => {
    const { clusterUid } = await world.client();
    expect(await clusterUid(forever)).toBe(CLUSTER_UID);
    expect(world.api.accesses.map(({ verb, resource, name }) => `${verb} ${resource} ${name}`)).toEqual([
      "get namespaces kube-system",
    ]);
  });

  test("is asked for until the API server answers; what depends on it fails meanwhile, and asks at once", async () => {
    const { clusterUid } = await world.client();
    await world.api.down();
    const clock = new ManualClock();
    const pending = new PendingClusterId(undefined, { ...deps(), clock, source: clusterUid });
    const learning = pending.learn(forever);
    await until("it is told", () => log.some(({ level }) => level === "warn"));
    expect(() => pending.get()).toThrow("the id of this cluster is unknown");
    expect(await idOf(pending.ensure(forever))).toStartWith("clusterIdUnknown: ");
    await world.api.up();
    // The clock stands still: a call does not wait for the next try of the background.
    await pending.ensure(forever);
    expect(pending.get()).toBe(CLUSTER_UID);
    await clock.advance(10_000);
    await learning;
  });

  test("that may not be read: the error says what to grant or to set", async () => {
    world.api.rules = [];
    const { clusterUid } = await world.client();
    const pending = new PendingClusterId(undefined, { ...deps(), source: clusterUid });
    await expect(pending.ensure(forever)).rejects.toMatchObject({
      id: "clusterIdUnknown",
      summary: expect.stringMatching(/may not get namespace kube-system/),
      remedy: expect.stringMatching(/set the same --cluster-id for controller, nodes and commands/),
    });
  });

  test("a controller without it answers UNAVAILABLE, and changes nothing on the RDS", async () => {
    const stack = await startStack();
    try {
      const pending = new PendingClusterId(undefined, {
        ...deps(),
        source: () => Promise.reject(new Error("no")),
      });
      const rds = new Rds({
        client: new RouterOsClient(stack.transport),
        ...{
          clock: systemClock,
          logger: silentLogger,
          nqnPrefix: "nqn.2000-02.com.mikrotik",
          nvmePort: 4420,
        },
        fencing: "epoch",
        ready: (signal) => pending.ensure(signal),
        get clusterId() {
          return pending.get();
        },
      });
      const before = structuredClone(stack.simulator.device.disks);
      expect(await idOf(rds.find(volumeIdFromName("a"), forever))).toStartWith("clusterIdUnknown: ");
      expect(await idOf(rds.list(forever))).toStartWith("clusterIdUnknown: ");
      expect(stack.simulator.device.disks).toEqual(before);
      expect(stack.commandsSince()).toEqual([]);
    } finally {
      await stack.close();
    }
  });

  test("a node that may not ask goes on without staging, is not ready, and stages once it may", async () => {
    world.api.rules = [];
    const { clusterUid } = await world.client();
    const clock = new ManualClock();
    const pending = new PendingClusterId(undefined, { ...deps(), clock, source: clusterUid });
    const learning = pending.learn(forever);
    await until("it was refused", () => log.some(({ level }) => level === "warn"));
    expect(pending.problems()).toHaveLength(1);
    const service = createNodeService({
      system: { logger: recordingLogger(log) } as never,
      dataPath: undefined as never,
      nodeId: "node-a",
      clusterId: () => pending.get(),
      nqnPrefix: "nqn.2000-02.com.mikrotik",
      maxVolumesPerNode: 0,
    });
    expect(service.info()).toEqual({ nodeId: "node-a", maxVolumesPerNode: 0 });
    expect(() => pending.get()).toThrow("the id of this cluster is unknown");
    world.api.rules = undefined;
    const timer = setInterval(() => void clock.advance(1_000), 1);
    await learning;
    clearInterval(timer);
    expect(pending.get()).toBe(CLUSTER_UID);
    expect(pending.problems()).toEqual([]);
  });

  test("what is configured is never asked for", async () => {
    const source = () => Promise.reject(new Error("asked"));
    const pending = new PendingClusterId("mine", { ...deps(), source });
    await pending.learn(forever);
    await pending.ensure(forever);
    expect(pending.get()).toBe("mine");
    expect(log).toEqual([]);
  });

  test("a process that is told to stop does not wait for it", async () => {
    const stop = new AbortController();
    const pending = new PendingClusterId(undefined, { ...deps(), source: () => new Promise(() => {}) });
    const learning = pending.learn(stop.signal);
    stop.abort(new Error("stop"));
    await learning;
    expect(pending.problems()).toHaveLength(1);
  });
});
