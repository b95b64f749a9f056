import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import {
  forever,
  type LogLine,
  recordingLogger,
  startWorld,
  type World,
} from "../../test/support/kubernetes/world.ts";
import { decodeRecord } from "../domain/record/record-codec.ts";
import { type VolumeId, volumeIdFromName } from "../domain/volume-id.ts";
import type { ShardStore } from "../kubernetes/record-shards.ts";

import type { ForeignDisk, RdsVolume } from "../rds/volume.ts";
import {
  decodeCopy,
  decodeShard,
  encodeCopy,
  GONE_KEPT_MS,
  nextShard,
  type RecordCopy,
  SHARD_BYTES,
  shardOf,
} from "./copy.ts";
import { KEEP_INTERVAL_MS, RecordKeeper } from "./keeper.ts";

const NAMESPACE = "rds-csi";
const ID = volumeIdFromName("pvc-1");
const NAME = `rds-csi-records-${shardOf(ID)}`;
const HOST = "nqn.2014-08.org.nvmexpress:uuid:5532da6c-3baa-5d0a-9325-7a23736abbb3";
const FREE = "rds1;n=pvc-1;c=test;t=1;e=3";
const HELD = `${FREE.replace("e=3", "e=4")};a=node-a,${HOST},0,mw,1`;

let world: World;
let clock: ManualClock;
let log: LogLine[];
let store: ShardStore;
beforeEach(async () => {
  world = await startWorld();
  clock = new ManualClock();
  log = [];
  store = (await world.client()).shards(NAMESPACE, "rds-csi-records");
});
afterEach(() => world.stop());

const keeper = () => new RecordKeeper({ store, clock, logger: recordingLogger(log) });
function volume(id: VolumeId, comment: string): RdsVolume {
  const decoded = decodeRecord(comment);
  if (decoded.kind !== "record") throw new Error(JSON.stringify(decoded));
  return { id, record: decoded.record, disk: { slot: id, comment } as unknown as RdsVolume["disk"] };
}
const only = (...volumes: RdsVolume[]) => ({ volumes, foreign: [] });
const foreign = (id: VolumeId): ForeignDisk => ({
  id,
  disk: { slot: id, comment: "" } as unknown as ForeignDisk["disk"],
  cause: "no-record",
  reason: "",
});
const kept = (id = ID): RecordCopy | undefined =>
  decodeCopy(world.api.get("ConfigMap", NAME, NAMESPACE)?.data?.[id] ?? "");
const writes = () =>
  world.api.accesses.filter(({ verb, resource }) => resource === "configmaps" && verb !== "get").length;

describe("copies of records in the cluster", () => {
  test("an unfinished volume's record is not kept: put back later, it would make a volume unfinished again", async () => {
    const one = keeper();
    await one.keep(only(volume(ID, "rds2;n=pvc-1;c=test;t=1;s=x;k=0,1048576,1,0,01234567,-")), forever);
    expect([kept(), writes()]).toEqual([undefined, 0]);
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep(only(volume(ID, FREE)), forever);
    expect(kept()?.comment).toBe(FREE);
  });

  test("the last readable record of each volume is kept as it stands, and written only when it changes", async () => {
    const one = keeper();
    await one.keep(only(volume(ID, FREE)), forever);
    expect(kept()).toMatchObject({ comment: FREE, epoch: 3 });
    expect(writes()).toBe(1);
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep(only(volume(ID, FREE)), forever);
    expect(writes()).toBe(1);
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep(only(volume(ID, HELD)), forever);
    expect(kept()).toMatchObject({ comment: HELD, epoch: 4 });
    expect(writes()).toBe(2);
  });

  test("not more than once a minute, however often it is asked", async () => {
    const one = keeper();
    await one.keep(only(volume(ID, FREE)), forever);
    await clock.advance(KEEP_INTERVAL_MS - 1);
    await one.keep(only(volume(ID, HELD)), forever);
    expect(kept()?.comment).toBe(FREE);
    await clock.advance(1);
    await one.keep(only(volume(ID, HELD)), forever);
    expect(kept()?.comment).toBe(HELD);
  });

  test("an item whose record cannot be read keeps its copy; so does, for a week, one that is gone", async () => {
    const one = keeper();
    await one.keep(only(volume(ID, HELD)), forever);
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep({ volumes: [], foreign: [foreign(ID)] }, forever);
    expect(kept()).toMatchObject({ comment: HELD });
    expect(kept()?.gone).toBeUndefined();
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep(only(), forever);
    expect(kept()?.comment).toBe(HELD);
    expect(kept()?.gone).toBeDefined();
    await clock.advance(GONE_KEPT_MS + 1_000);
    await one.keep(only(), forever);
    expect(kept()).toBeUndefined();
  });

  test("the highest epoch is remembered, also when a record with a lower one comes back", async () => {
    const one = keeper();
    await one.keep(only(volume(ID, HELD)), forever);
    await clock.advance(KEEP_INTERVAL_MS);
    await one.keep(only(volume(ID, FREE)), forever);
    expect(kept()).toMatchObject({ comment: FREE, epoch: 4 });
  });

  test("a new holder of the Lease goes on from what is stored; an old one that wakes up overwrites nothing", async () => {
    const old = keeper();
    await old.keep(only(volume(ID, FREE)), forever);
    const next = keeper();
    await next.keep(only(volume(ID, HELD)), forever);
    await clock.advance(KEEP_INTERVAL_MS);
    await expect(old.keep(only(volume(ID, `${FREE};mt=60`)), forever)).rejects.toThrow("Kubernetes");
    expect(kept()?.comment).toBe(HELD);
    // It reads again, and then is as good as any.
    await clock.advance(KEEP_INTERVAL_MS);
    await old.keep(only(volume(ID, HELD)), forever);
    expect(kept()?.comment).toBe(HELD);
  });

  test("what somebody made of a copy by hand is no copy, and is replaced", async () => {
    await keeper().keep(only(volume(ID, HELD)), forever);
    const stored = await store.read(shardOf(ID) ?? "", forever);
    await store.write(shardOf(ID) ?? "", { [ID]: "{}", other: "not JSON" }, stored, forever);
    await keeper().keep(only(volume(ID, HELD)), forever);
    expect(kept()?.comment).toBe(HELD);
  });
});

describe("a shard", () => {
  test("holds at most what a ConfigMap can; gone volumes give way first, then those that no node has", () => {
    const longest = `${HELD};zz=${"x".repeat(1_500 - HELD.length - 4)}`;
    const id = (index: number) => volumeIdFromName(`volume-${index}`);
    const present = Array.from({ length: 1_000 }, (_, index) => ({
      id: id(index),
      comment: longest,
      epoch: 1,
      attached: index % 2 === 0,
    }));
    const before = new Map([["csi-gone", { comment: HELD, seen: "2026-01-01T00:00:00Z", epoch: 1 }]]);
    const { copies, left } = nextShard(before, present, () => false, Date.parse("2026-01-02"));
    const bytes = [...copies].reduce(
      (sum, [handle, copy]) => sum + handle.length + Buffer.byteLength(encodeCopy(copy)),
      0,
    );
    expect(bytes).toBeLessThanOrEqual(SHARD_BYTES);
    expect(left).toBe(1_001 - copies.size);
    expect(copies.has("csi-gone")).toBe(false);
    for (const each of present) if (each.attached) expect(copies.has(each.id)).toBe(true);
  });

  test("what is no copy is passed over when it is read", () => {
    const good = encodeCopy({ comment: HELD, seen: "2026-01-01T00:00:00Z", epoch: 4 });
    const data = {
      good,
      broken: "{",
      foreign: good.replace("rds1;", "x"),
      negative: good.replace('"epoch":4', '"epoch":-4'),
    };
    expect([...decodeShard(data).keys()]).toEqual(["good"]);
  });

  test("every handle of ours has one", () => {
    for (const name of ["a", "b", "c", "d"]) expect(shardOf(volumeIdFromName(name))).toBeDefined();
    expect(shardOf("pvc-0f4c3d1e-5b7a-4c7e-9d55-2f1f6a1f9a10")).toBe("0");
  });
});
