import { afterEach, beforeEach, expect, test } from "bun:test";
import { join } from "node:path";
import * as k8s from "@kubernetes/client-node";
import { ManualClock } from "../../test/support/clock.ts";
import {
  DRIVER,
  type LogLine,
  node,
  persistentVolume,
  quiet,
  recordingLogger,
  startWorld,
  until,
  volumeAttachment,
  type World,
} from "../../test/support/kubernetes/world.ts";
import { KubernetesApi } from "./api.ts";
import { ResourceCache } from "./cache.ts";
import { CredentialSource } from "./credentials.ts";
import { resourcesOf } from "./resources.ts";
import { ApiTransport } from "./transport.ts";

let world: World;
let clock: ManualClock;
let log: LogLine[];
let transport: ApiTransport;
let resources: ReturnType<typeof resourcesOf>;
let stop: AbortController;
let running: Promise<void>[];

beforeEach(async () => {
  world = await startWorld();
  clock = new ManualClock();
  log = [];
  const path = await world.api.writeKubeconfig(join(world.dir, "kubeconfig"));
  transport = new ApiTransport(new CredentialSource(k8s, { kind: "kubeconfig", path }, clock));
  resources = resourcesOf(new KubernetesApi(k8s, transport, clock), DRIVER);
  stop = new AbortController();
  running = [];
});
afterEach(async () => {
  stop.abort();
  await Promise.all(running);
  transport.close();
  await world.stop();
});

/** Makes a cache of one resource and runs it. */
function run<K extends keyof typeof resources>(name: K) {
  const deps = { transport, clock, logger: recordingLogger(log), random: () => 0 };
  // biome-ignore lint/suspicious/noExplicitAny: the members of Resources differ in their object type only
  const cache = new ResourceCache<any, any>(resources[name] as any, deps);
  running.push(cache.run(stop.signal));
  return cache;
}

/** A cache of the nodes, complete and watching. */
async function nodeCache() {
  const cache = run("nodes");
  await cache.synced;
  await until("the cache is fresh", () => cache.fresh);
  return cache;
}

type NodeCache = Awaited<ReturnType<typeof nodeCache>>;

async function untilNodes(cache: NodeCache, ...names: string[]): Promise<void> {
  await until(`the cache has ${names}`, () => cache.values().toSorted().join() === names.join());
}

/** Lets back-off waits end until the cache watches again. */
async function untilFresh(cache: NodeCache, stepMs = 250): Promise<void> {
  await until("the cache notices", () => !cache.fresh || clock.sleeping >= 1);
  for (let round = 0; round < 200; round += 1) {
    await quiet(world);
    if (cache.fresh && world.api.watching === 1) return;
    await clock.advance(stepMs);
  }
  throw new Error("the cache does not get fresh");
}

const count = (verb: string) => world.api.accesses.filter((access) => access.verb === verb).length;

test("it holds what was there before and follows what happens after", async () => {
  world.api.apply(node("a"));
  world.api.apply(node("b"));
  const cache = await nodeCache();
  expect(cache.values().toSorted()).toEqual(["a", "b"]);
  world.api.apply(node("c"));
  world.api.delete("Node", "a");
  await untilNodes(cache, "b", "c");
  expect(world.api.accesses.map(({ verb }) => verb)).toEqual(["list", "watch"]);
});

test("it holds only this driver's objects, also when one becomes another driver's", async () => {
  world.api.apply(volumeAttachment("ours", "a"));
  world.api.apply(volumeAttachment("theirs", "a", "other.csi"));
  world.api.apply(persistentVolume("pv-1", "csi-1"));
  world.api.apply(persistentVolume("pv-2", "csi-2", { driver: "other.csi" }));
  const attachments = run("volumeAttachments");
  const volumes = run("persistentVolumes");
  await Promise.all([attachments.synced, volumes.synced]);
  expect(attachments.values()).toMatchObject([
    { name: "ours", node: "a", pvName: "pv-1", attached: true, deleting: false },
  ]);
  expect(volumes.values().map(({ handle }) => handle)).toEqual(["csi-1"]);
  world.api.apply(volumeAttachment("ours", "a", "other.csi"));
  world.api.apply(volumeAttachment("new", "b"));
  await until("the change has arrived", () => attachments.get("new") !== undefined);
  expect(attachments.values()).toHaveLength(1);
});

test("pages of a large collection make one list", async () => {
  for (let index = 0; index < 1_201; index += 1) world.api.apply(node(`n${index}`));
  const cache = await nodeCache();
  expect(cache.values()).toHaveLength(1_201);
  expect(count("list")).toBe(3);
});

test("a watch that is cut in the middle of an event resumes where it was", async () => {
  const cache = await nodeCache();
  world.api.apply(node("a"));
  await untilNodes(cache, "a");
  world.api.dropWatches();
  await until("the cut is noticed", () => !cache.fresh);
  world.api.apply(node("b"));
  await untilFresh(cache);
  await untilNodes(cache, "a", "b");
  expect(count("list")).toBe(1);
});

test("a watch that the API server ends resumes at once", async () => {
  const cache = await nodeCache();
  await clock.advance(1_000);
  world.api.endWatches();
  world.api.apply(node("a"));
  await untilNodes(cache, "a");
  expect([count("list"), count("watch")]).toEqual([1, 2]);
});

test("after 410 Gone it lists again, and forgets what is no more", async () => {
  world.api.apply(node("a"));
  const cache = await nodeCache();
  world.api.expireWatches();
  world.api.delete("Node", "a");
  world.api.apply(node("b"));
  world.api.store.compact();
  await untilNodes(cache, "b");
  expect(count("list")).toBeGreaterThanOrEqual(2);
  expect(log.filter(({ level }) => level === "warn")).toEqual([]);
});

test("a watch whose start is too old is listed again: as an event and as an answer", async () => {
  world.api.faults.push({ match: ({ verb }) => verb === "watch", status: 410, reason: "Expired", times: 1 });
  world.api.apply(node("a"));
  const cache = await nodeCache();
  expect([count("list"), count("watch")]).toEqual([2, 2]);
  world.api.dropWatches();
  await until("the cut is noticed", () => !cache.fresh);
  world.api.delete("Node", "a");
  world.api.apply(node("b"));
  world.api.store.compact();
  await until("the cache waits", () => clock.sleeping >= 1);
  await clock.advance(500);
  await untilNodes(cache, "b");
  expect(count("list")).toBe(3);
});

test("a continue token that expires starts the list again", async () => {
  for (let index = 0; index < 1_001; index += 1) world.api.apply(node(`n${index}`));
  let pages = 0;
  world.api.faults.push({
    match: ({ verb }) => {
      pages += verb === "list" ? 1 : 0;
      if (pages === 2) world.api.store.expireContinueTokens();
      return false;
    },
  });
  const cache = await nodeCache();
  expect(cache.values()).toHaveLength(1_001);
  expect(count("list")).toBe(5);
});

test("a silent connection is taken for dead, and the watch resumes on another", async () => {
  const cache = await nodeCache();
  world.api.watchFaults.silent = true;
  world.api.apply(node("a"));
  world.api.watchFaults.silent = false;
  await clock.advance(149_999);
  expect(cache.fresh).toBe(true);
  await clock.advance(1);
  await until("the silence is noticed", () => !cache.fresh);
  await untilFresh(cache);
  await untilNodes(cache, "a");
  expect([count("list"), world.api.connections.total]).toEqual([1, 2]);
});

test("bookmarks keep a quiet watch alive and move it on, so that compaction does not hurt it", async () => {
  const cache = await nodeCache();
  for (let index = 0; index < 3; index += 1) {
    world.api.apply(volumeAttachment(`va-${index}`, "a"));
    await clock.advance(100_000);
    world.api.bookmark();
    await quiet(world);
  }
  expect([cache.fresh, count("watch")]).toEqual([true, 1]);
  world.api.store.compact();
  world.api.dropWatches();
  await until("the cut is noticed", () => !cache.fresh);
  world.api.apply(node("a"));
  await untilFresh(cache);
  await untilNodes(cache, "a");
  expect(count("list")).toBe(1);
});

test("events may come byte by byte, within characters too", async () => {
  const cache = await nodeCache();
  world.api.watchFaults.splitBytes = 1;
  const labels = { town: "Grünöd 😀" };
  world.api.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "a", labels } });
  world.api.apply(node("b"));
  await untilNodes(cache, "a", "b");
  expect(count("watch")).toBe(1);
});

test("it starts without an API server, catches up when that comes, and says each once", async () => {
  await world.api.down();
  const cache = run("nodes");
  let synced = false;
  void cache.synced.then(() => {
    synced = true;
  });
  for (let round = 0; round < 20; round += 1) {
    await until("the cache waits", () => clock.sleeping >= 1);
    await clock.advance(30_000);
  }
  expect([synced, cache.fresh, cache.values()]).toEqual([false, false, []]);
  world.api.apply(node("a"));
  await world.api.up();
  await untilFresh(cache, 30_000);
  await cache.synced;
  world.api.apply(node("b"));
  await untilNodes(cache, "a", "b");
  const lines = log.filter(({ level }) => level !== "debug").map(({ level, message }) => [level, message]);
  expect(lines).toEqual([
    ["warn", "watch interrupted, trying again"],
    ["info", "watch restored"],
  ]);
});

test("an interruption is over, and logged so, when the watch is open: no object need change", async () => {
  const cache = await nodeCache();
  await world.api.down();
  await until("the cut is noticed", () => !cache.fresh);
  for (let round = 0; round < 3; round += 1) {
    await until("the cache waits", () => clock.sleeping >= 1);
    await clock.advance(30_000);
  }
  await world.api.up();
  await untilFresh(cache, 30_000);
  const restored = () => log.filter(({ message }) => message === "watch restored").length;
  await clock.advance(999);
  await quiet(world);
  expect(restored()).toBe(0);
  await clock.advance(1);
  await until("it is logged", () => restored() === 1);
  expect([cache.fresh, world.api.watching]).toEqual([true, 1]);
  world.api.apply(node("a"));
  await untilNodes(cache, "a");
  expect(restored()).toBe(1);
});

test("a server that ends every watch at once is not hammered", async () => {
  world.api.faults.push({ match: ({ verb }) => verb === "watch", body: "" });
  run("nodes");
  const failed = () => log.filter(({ message }) => message.startsWith("watch interrupted")).length;
  let watches = 1;
  for (const wait of [250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]) {
    await until(`${watches} watches have failed`, () => failed() === watches);
    await clock.advance(wait - 1);
    await quiet(world);
    expect(count("watch")).toBe(watches);
    await clock.advance(1);
    watches += 1;
  }
  expect(count("list")).toBe(1);
});

test("Retry-After is obeyed", async () => {
  world.api.faults.push({ status: 429, retryAfter: 20, times: 1 });
  const cache = run("nodes");
  await until("the list was refused", () => log.length === 1);
  await clock.advance(19_999);
  expect(count("list")).toBe(1);
  await clock.advance(1);
  await cache.synced;
});

test.each([
  ["no JSON", "{oops\n"],
  ["an unknown type", '{"type":"SURPRISE","object":{"metadata":{"resourceVersion":"9"}}}\n'],
  ["no resourceVersion", '{"type":"ADDED","object":{"metadata":{"name":"evil"}}}\n'],
  ["no name", '{"type":"ADDED","object":{"metadata":{"resourceVersion":"9"}}}\n'],
  ["null", "null\n"],
])("an event with %s ends the watch, not the cache", async (_, body) => {
  world.api.apply(node("a"));
  world.api.faults.push({ match: ({ verb }) => verb === "watch", body, times: 1 });
  const cache = run("nodes");
  await cache.synced;
  await untilFresh(cache);
  world.api.apply(node("b"));
  await untilNodes(cache, "a", "b");
});

test("it ends when it is stopped, and leaves no timer and no connection behind", async () => {
  await nodeCache();
  stop.abort();
  await Promise.all(running);
  transport.close();
  await until("no connection is open", () => world.api.connections.open === 0);
  expect(clock.sleeping).toBe(0);
});
