import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../test/support/clock.ts";
import { leaveFile } from "../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { LAYOUT, MIB } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { isFailure } from "../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { NamedVolume } from "../kubernetes/storage-names.ts";
import { type LogFields, silentLogger } from "../observability/log.ts";
import { ORPHANS_INTERVAL_MS, ORPHANS_MAX_AGE_MS, OrphanWatch } from "./orphan-watch.ts";

const start = useStack();

const UID = "5f3c9a52-0000-4000-8000-00000000c1a5";

/** A watch on a RDS with two volumes, a snapshot and a file; PersistentVolumes as `named` holds them. */
async function stand({
  cluster = true,
  clusterId = "test",
}: {
  readonly cluster?: boolean;
  readonly clusterId?: string;
} = {}) {
  const clock = new ManualClock(Date.now());
  const on = await start();
  const { id } = await createVolume(on, { name: "a" });
  await createVolume(on, { name: "b" });
  await on.snapshots.create({ name: "s", source: id, parameters: {}, signal: on.signal });
  await leaveFile(on, volumeIdFromName("left"), "plain", { size: MIB });
  await clock.advance(3_600_000);
  const named: NamedVolume[] = [];
  const state = { isUp: true, uid: UID, failures: 0 };
  const ask = <T>(answer: T) => (state.isUp ? Promise.resolve(answer) : Promise.reject(new Error("silent")));
  const registry = new Registry();
  const warn = (_message: string, { error }: LogFields = {}) => {
    if (isFailure(error, "orphansOtherCluster")) state.failures += 1;
  };
  const logger = { ...silentLogger, warn };
  const watch = new OrphanWatch({
    ...{ rds: on.rds, layout: LAYOUT, clusterId, registry, clock, logger },
    cluster: cluster
      ? {
          names: { volumes: () => ask(named), snapshots: () => ask([]) },
          reader: { volumeAttachments: () => ask([]) },
          clusterUid: () => ask(state.uid),
        }
      : undefined,
  });
  const samples = async (name: string): Promise<Record<string, number>> =>
    Object.fromEntries(
      [...(await registry.metrics()).matchAll(new RegExp(`^${name}\\{kind="(.*)"\\} (.*)$`, "gm"))].map(
        ([, kind, value]) => [kind, Number(value)],
      ),
    );
  const counts = () => samples("rds_csi_orphans");
  const ages = () => samples("rds_csi_orphan_oldest_age_seconds");
  return { on, id, clock, named, state, watch, counts, ages };
}

test("counts by kind, and the age of the oldest; a scrape sends nothing", async () => {
  const { on, id, clock, named, watch, counts, ages } = await stand();
  expect(await counts()).toEqual({});
  const stop = new AbortController();
  on.commandsSince();
  const running = watch.run(stop.signal);
  await until("the first look is over", async () => (await counts()).disk !== undefined);
  expect(await counts()).toEqual({ disk: 2, file: 1, subvolume: 0, snapshot: 1 });
  expect(on.commandsSince().filter((line) => !line.includes("/system/resource"))).toHaveLength(5);
  const { disk = 0, subvolume } = await ages();
  expect([Math.round(disk / 100), subvolume]).toEqual([36, undefined]);
  expect(on.commandsSince()).toEqual([]);
  named.push({ name: "pv", handle: id, driver: "any" });
  await clock.advance(ORPHANS_INTERVAL_MS);
  await until("the next look is over", async () => (await counts()).disk === 1);
  stop.abort();
  await running;
  // Another replica looks.
  expect([await counts(), await ages()]).toEqual([{}, {}]);
});

test("while Kubernetes is silent nothing counts as an orphan: what was known grows old, and goes", async () => {
  const { clock, state, watch, counts } = await stand();
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await until("the first look is over", async () => (await counts()).disk === 2);
  state.isUp = false;
  await clock.advance(ORPHANS_INTERVAL_MS);
  await clock.advance(ORPHANS_MAX_AGE_MS - ORPHANS_INTERVAL_MS + 1);
  expect(await counts()).toEqual({});
  stop.abort();
  await running;
});

test("with the UID of another cluster nothing counts as an orphan, as other PersistentVolumes decide", async () => {
  const { clock, state, watch, counts } = await stand({ clusterId: UID });
  state.uid = UID.replace("5", "6");
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await until("the look has failed", async () => state.failures === 1);
  expect(await counts()).toEqual({});
  state.uid = UID;
  await clock.advance(60_000);
  // A volume of another cluster id is none of this one; a file has no record.
  await until("the next look is over", async () => (await counts()).file === 1);
  stop.abort();
  await running;
});

test("without an orchestrator nothing is looked for", async () => {
  const { on, watch, counts } = await stand({ cluster: false });
  on.commandsSince();
  await watch.run(on.signal);
  expect([on.commandsSince(), await counts()]).toEqual([[], {}]);
});
