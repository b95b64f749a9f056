import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../csi/clock.fixture.ts";
import { systemClock } from "../domain/clock.ts";
import { DriverError, failure } from "../domain/errors/driver-error.ts";
import { CLUSTER_UID } from "../kubernetes/fake-api-server.fixture.ts";
import {
  forever,
  type LogLine,
  recordingLogger,
  startWorld,
  until,
  type World,
} from "../kubernetes/test-world.fixture.ts";
import { createNodeService } from "../node/service.ts";
import { awaitClusterId, PendingClusterId } from "./cluster-id.ts";

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

  test("is asked for until the API server answers, and never guessed meanwhile", async () => {
    const { clusterUid } = await world.client();
    await world.api.down();
    const clock = new ManualClock();
    const asked = awaitClusterId(clusterUid, { ...deps(), clock }, forever, { forbiddenIsFinal: true });
    let known: string | undefined;
    void asked.then((id) => {
      known = id;
    });
    await until("it is told", () => log.some(({ level }) => level === "warn"));
    expect(known).toBeUndefined();
    await world.api.up();
    const timer = setInterval(() => void clock.advance(1_000), 1);
    expect(await asked).toBe(CLUSTER_UID);
    clearInterval(timer);
  });

  test("a controller that may not ask ends, and says what to grant or to set", async () => {
    world.api.rules = [];
    const { clusterUid } = await world.client();
    const answer = await idOf(awaitClusterId(clusterUid, deps(), forever, { forbiddenIsFinal: true }));
    expect(answer).toStartWith(
      "clusterIdUnknown: it is not known which cluster this is, and so which volumes are its own: the driver's service account may not get namespace kube-system",
    );
  });

  test("a node that may not ask goes on without staging, is not ready, and stages once it may", async () => {
    world.api.rules = [];
    const { clusterUid } = await world.client();
    const clock = new ManualClock();
    const pending = new PendingClusterId(undefined);
    const stop = new AbortController();
    const learning = pending.learn(clusterUid, { ...deps(), clock }, stop.signal);
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
    expect(() => pending.get()).toThrow("it is not known which cluster this is");
    world.api.rules = undefined;
    const timer = setInterval(() => void clock.advance(1_000), 1);
    await learning;
    clearInterval(timer);
    expect(pending.get()).toBe(CLUSTER_UID);
    expect(pending.problems()).toEqual([]);
  });

  test("what is configured is never asked for", async () => {
    const pending = new PendingClusterId("mine");
    await pending.learn(() => Promise.reject(failure("internal", { what: "asked" })), deps(), forever);
    expect(pending.get()).toBe("mine");
  });

  test("a process that is told to stop does not wait for it", async () => {
    const stop = new AbortController();
    const { clusterUid } = await world.client();
    await world.api.down();
    const asked = awaitClusterId(clusterUid, deps(), stop.signal, { forbiddenIsFinal: true });
    stop.abort(new Error("stop"));
    await expect(asked).rejects.toThrow("stop");
  });
});
