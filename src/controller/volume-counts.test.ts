import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import { createVolume, reconcilerOf, useStack } from "../../test/support/own-stack.ts";
import { BLOCK, type Stack } from "../../test/support/rds-stack.ts";
import { systemClock } from "../domain/clock.ts";
import { silentLogger } from "../observability/log.ts";
import { DRIFT_KINDS, DRIFT_MAX_AGE_MS } from "./migration-metrics.ts";
import { COUNTS_MAX_AGE_MS, FIRST_MS, REFRESH_MS, VolumeCounts } from "./volume-counts.ts";

const start = useStack();

const scrape = async (on: Stack) => on.registry.metrics();
const sample = (text: string, name: string) =>
  new RegExp(`^${name}(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(text)?.[1];
const ACTIVE = "rds_csi_migration_active_migrations";
const DUAL = "rds_csi_attachment_dual_attached_volumes";
const DRIFT = "rds_csi_attachment_drift";

async function twoNodes(on: Stack): Promise<void> {
  const capability = { ...BLOCK, accessMode: "MULTI_NODE_MULTI_WRITER" } as const;
  const volume = await createVolume(on, { name: "vm-disk", capabilities: [capability] });
  for (const nodeId of ["node-a", "node-b"])
    await on.attachments.publish({
      volumeId: volume.id,
      nodeId,
      capability,
      readonly: false,
      signal: on.signal,
    });
}

describe("gauges of volumes on two nodes", () => {
  test("a scrape sends nothing to the RDS; unknown is absent, the own changes show at once", async () => {
    const on = await start();
    const before = await scrape(on);
    for (const name of [ACTIVE, DUAL, DRIFT]) {
      expect(before).toContain(`# TYPE ${name} gauge`);
      expect(sample(before, name)).toBeUndefined();
    }
    expect(on.commandsSince()).toEqual([]);
    await on.refreshCounts();
    expect([sample(await scrape(on), ACTIVE), sample(await scrape(on), DUAL)]).toEqual(["0", "0"]);
    await twoNodes(on);
    on.commandsSince();
    for (let each = 0; each < 20; each += 1) {
      const text = await scrape(on);
      expect([sample(text, ACTIVE), sample(text, DUAL)]).toEqual(["1", "1"]);
    }
    expect(on.commandsSince()).toEqual([]);
  });

  test("another replica and a process that starts show them after their own first read", async () => {
    const on = await start();
    await twoNodes(on);
    const other = on.controller();
    expect(other.counts.onTwoNodes()).toBeUndefined();
    expect(await other.counts.refresh(on.signal)).toBe(true);
    expect(other.counts.onTwoNodes()).toBe(1);
  });

  test("they disappear when the RDS could not be read for long, and come back with it", async () => {
    const clock = new ManualClock();
    const on = await start({ clock });
    await on.refreshCounts();
    await clock.advance(COUNTS_MAX_AGE_MS);
    expect(on.counts.onTwoNodes()).toBe(0);
    await clock.advance(1);
    expect(on.counts.onTwoNodes()).toBeUndefined();
    expect(sample(await scrape(on), ACTIVE)).toBeUndefined();
    await on.refreshCounts();
    expect(sample(await scrape(on), ACTIVE)).toBe("0");
  });

  test("drift: of the replica that reconciles, while it does", async () => {
    const clock = new ManualClock();
    const on = await start({ clock });
    const reconciler = reconcilerOf(on, { clock, events: undefined });
    await reconciler.tick(on.signal);
    expect((await scrape(on)).match(new RegExp(`^${DRIFT}\\{.*\\} 0$`, "gm"))).toHaveLength(
      DRIFT_KINDS.length,
    );
    await clock.advance(DRIFT_MAX_AGE_MS + 1);
    expect(sample(await scrape(on), DRIFT)).toBeUndefined();
    await reconciler.tick(on.signal);
    expect(sample(await scrape(on), DRIFT)).toBe("0");
    await reconciler.run(AbortSignal.abort());
    expect(sample(await scrape(on), DRIFT)).toBeUndefined();
  });
});

describe("VolumeCounts", () => {
  test("reads at most once a period, and never what somebody else has listed", async () => {
    const clock = new ManualClock();
    const on = await start({ clock: systemClock });
    const stop = new AbortController();
    const counts = new VolumeCounts({ rds: on.rds, clock, logger: silentLogger });
    expect(counts.neverRead).toBe("the RDS has not been read yet");
    const listed = () => on.commandsSince().filter((line) => line.includes("(csi|pvc)-")).length;
    const settled = async (count: () => boolean) => {
      for (let tries = 0; !count() && tries < 2_000; tries += 1) await systemClock.sleep(1);
    };
    const running = counts.run(stop.signal);
    await clock.advance(FIRST_MS - 1);
    expect(listed()).toBe(0);
    await clock.advance(1);
    await settled(() => counts.neverRead === undefined);
    expect(counts.onTwoNodes()).toBe(0);
    expect(listed()).toBe(1);
    // Somebody else lists every minute, as reconcile does: ten minutes, and no list of its own.
    for (let minute = 0; minute < 10; minute += 1) {
      await clock.advance(REFRESH_MS - 5_000);
      await on.rds.list(on.signal);
    }
    expect(listed()).toBe(10);
    await clock.advance(REFRESH_MS);
    let own = 0;
    await settled(() => {
      own += listed();
      return own > 0;
    });
    expect(own).toBe(1);
    stop.abort();
    await running;
  });

  test("says why it could not read yet; later trouble is no news", async () => {
    const on = await start();
    await on.simulator.stop();
    expect(await on.counts.refresh(on.signal)).toBe(false);
    expect(on.counts.neverRead).toContain("is not reachable over SSH");
    expect(on.counts.onTwoNodes()).toBeUndefined();
  });
});
