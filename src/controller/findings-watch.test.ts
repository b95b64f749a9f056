import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../test/support/clock.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { GIB } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { silentLogger } from "../observability/log.ts";
import { publish } from "./calls.fixture.ts";
import { FindingsWatch, SURVEY_INTERVAL_MS, SURVEY_MAX_AGE_MS } from "./findings-watch.ts";
import type { SurveyedVolume } from "./volume-health.ts";

const start = useStack();

/** A watch, and the samples that are not 0. */
function watchOf(survey: () => Promise<readonly SurveyedVolume[]>) {
  const clock = new ManualClock();
  const registry = new Registry();
  const watch = new FindingsWatch({ health: { survey }, registry, clock, logger: silentLogger });
  const samples = async (name: string) =>
    [...(await registry.metrics()).matchAll(new RegExp(`^${name}\\{\\w+="(.*)"\\} (.*)$`, "gm"))]
      .filter(([, , value]) => value !== "0")
      .map(([, label, value]) => `${label} ${value}`);
  const isKnown = async (name = "rds_csi_volumes") => (await registry.metrics()).includes(`${name}{`);
  return { watch, samples, isKnown, clock };
}

test("states and findings of all volumes, by two commands a look and none a scrape", async () => {
  const on = await start();
  const { device } = on.simulator;
  for (const name of ["free", "used", "broken", "both"]) await createVolume(on, { name });
  const ids = device.disks.filter(({ slot }) => slot.startsWith("csi-")).map(({ slot }) => slot);
  expect(ids).toHaveLength(4);
  const [, used = "", broken = "", both = ""] = ids;
  await publish(on, used as never, "node-a");
  await device.setDisk(broken, { comment: "rds1:damaged" });
  await device.setDisk(both, { "nvme-tcp-export": true, "mount-filesystem": true });
  await device.addForeignDisk({ slot: "csi-foreign", path: "storage-pool/x.img", size: GIB });
  const { watch, samples, isKnown, clock } = watchOf(() => on.health.survey(on.signal));
  expect(await isKnown()).toBe(false);
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await until("the first look is over", isKnown);
  on.commandsSince();
  expect(await samples("rds_csi_volumes")).toEqual(["broken 1", "attached 1", "available 1", "foreign 1"]);
  expect((await samples("rds_csi_volume_findings")).toSorted()).toEqual([
    "exported-unattached 1",
    "foreign-disk 1",
    "mount-filesystem 1",
  ]);
  expect(on.commandsSince()).toEqual([]);
  await device.setDisk(both, { "nvme-tcp-export": false, "mount-filesystem": false });
  await clock.advance(SURVEY_INTERVAL_MS);
  await until("the next look is over", async () =>
    (await samples("rds_csi_volumes")).includes("available 2"),
  );
  expect(on.commandsSince()).toHaveLength(2);
  stop.abort();
  await running;
  // Another replica leads.
  expect([await isKnown(), await isKnown("rds_csi_volume_findings")]).toEqual([false, false]);
});

test("what is known grows old while looks fail, and comes back", async () => {
  let fails = false;
  const { watch, isKnown, clock } = watchOf(async () => {
    if (fails) throw new Error("the RDS does not answer");
    return [{ state: "available", findings: [] }];
  });
  const stop = new AbortController();
  const running = watch.run(stop.signal);
  await until("the first look is over", isKnown);
  fails = true;
  await clock.advance(SURVEY_INTERVAL_MS);
  await clock.advance(SURVEY_MAX_AGE_MS - SURVEY_INTERVAL_MS);
  expect(await isKnown()).toBe(true);
  await clock.advance(1);
  expect(await isKnown()).toBe(false);
  fails = false;
  await until("a look works", async () => {
    await clock.advance(60_000);
    return isKnown();
  });
  stop.abort();
  await running;
});
