import { describe, expect, test } from "bun:test";
import { ManualClock } from "../../test/support/clock.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { MIB, type Stack } from "../../test/support/rds-stack.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { PoolReporter } from "./pool-report.ts";

const start = useStack();
const TWO = [
  { slot: "storage-pool", fs: "btrfs", size: 1n << 40n },
  { slot: "other", fs: "xfs", size: 1n << 36n },
] as const;

const reporterOf = (on: Stack, clock = new ManualClock()) =>
  new PoolReporter(
    { client: new RouterOsClient(on.transport), clock, defaultPool: "storage-pool" },
    (signal) => on.rds.version(signal),
  );

describe("the report of pools", () => {
  test("size, free and promised bytes of each mounted pool, by one command", async () => {
    const on = await start({ pools: TWO });
    await createVolume(on, { name: "a", required: 5n * MIB });
    await createVolume(on, { name: "b", required: 3n * MIB });
    await createVolume(on, { name: "c", required: 7n * MIB, parameters: { pool: "other" } });
    const reporter = reporterOf(on);
    const first = await reporter.report(on.signal);
    // Where another pool is mounted the first report shows.
    expect(first).toMatchObject([
      { slot: "other", fs: "xfs", promisedBytes: undefined },
      { slot: "storage-pool", label: "storage-pool-fs", fs: "btrfs", promisedBytes: 8n * MIB },
    ]);
    on.commandsSince();
    const second = await reporter.report(on.signal);
    expect(on.commandsSince()).toHaveLength(1);
    expect(second.map(({ promisedBytes }) => promisedBytes)).toEqual([7n * MIB, 8n * MIB]);
    for (const { slot } of TWO) {
      const { pool } = await on.rds.readPool(slot, 0n, on.signal);
      const found = second.find((each) => each.slot === slot);
      expect([found?.sizeBytes, found?.freeBytes]).toEqual([pool.size, pool.free]);
      expect(found?.promisedBytes).toBe(pool.files.allocated);
    }
  });

  test("a pool that is not mounted is not there", async () => {
    const on = await start({ pools: TWO });
    const reporter = reporterOf(on);
    await on.simulator.device.setPool("other", { mounted: false });
    expect((await reporter.report(on.signal)).map(({ slot }) => slot)).toEqual(["storage-pool"]);
  });

  test("without the sum of a device that cannot add up, which is asked for it again after ten minutes", async () => {
    const on = await start({ switches: { proplist: "missing" } });
    const clock = new ManualClock();
    const reporter = reporterOf(on, clock);
    const asksForSum = () => on.commandsSince().some((line) => line.includes(":local total"));
    expect(await reporter.report(on.signal)).toMatchObject([
      { slot: "storage-pool", promisedBytes: undefined },
    ]);
    expect(asksForSum()).toBe(true);
    await reporter.report(on.signal);
    expect(asksForSum()).toBe(false);
    await clock.advance(600_000);
    await reporter.report(on.signal);
    expect(asksForSum()).toBe(true);
  });
});
