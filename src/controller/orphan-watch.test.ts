import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../test/support/clock.ts";
import { leaveFile } from "../../test/support/file-layouts.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { LAYOUT, MIB } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { volumeIdFromName } from "../domain/volume-id.ts";
import type { NamedVolume } from "../kubernetes/storage-names.ts";
import { silentLogger } from "../observability/log.ts";
import { ORPHANS_INTERVAL_MS, ORPHANS_MAX_AGE_MS, OrphanWatch } from "./orphan-watch.ts";

const start = useStack();

/** A watch on a RDS with two volumes, a snapshot and a file; PersistentVolumes as `named` holds them. */
async function stand({ cluster = true }: { readonly cluster?: boolean } = {}) {
  const clock = new ManualClock(Date.now());
  const on = await start({ clock });
  const { id } = await createVolume(on, { name: "a" });
  await createVolume(on, { name: "b" });
  await on.snapshots.create({ name: "s", source: id, parameters: {}, signal: on.signal });
  await leaveFile(on, volumeIdFromName("left"), "plain", { size: MIB });
  await clock.advance(3_600_000);
  const named: NamedVolume[] = [];
  const state = { isUp: true };
  const ask = <T>(answer: T) => (state.isUp ? Promise.resolve(answer) : Promise.reject(new Error("silent")));
  const registry = new Registry();
  const watch = new OrphanWatch({
    ...{ rds: on.rds, layout: LAYOUT, clusterId: "test", registry, clock, logger: silentLogger },
    cluster: cluster
      ? {
          names: { volumes: () => ask(named), snapshots: () => ask([]) },
          reader: { volumeAttachments: () => ask([]) },
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

test("without an orchestrator nothing is looked for", async () => {
  const { on, watch, counts } = await stand({ cluster: false });
  on.commandsSince();
  await watch.run(on.signal);
  expect([on.commandsSince(), await counts()]).toEqual([[], {}]);
});
