import { describe, expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../test/support/clock.ts";
import { createVolume, useStack } from "../../test/support/own-stack.ts";
import { MIB, type Stack } from "../../test/support/rds-stack.ts";
import { until } from "../../test/support/until.ts";
import { silentLogger } from "../observability/log.ts";
import { PoolReporter } from "../rds/pool-report.ts";
import { RouterOsClient } from "../routeros/client.ts";
import { createSpaceMetrics, SpaceWatch } from "./space-watch.ts";
import { COUNTS_MAX_AGE_MS, REFRESH_MS } from "./volume-counts.ts";

const start = useStack();

function watchOf(on: Stack, clock = new ManualClock()) {
  const context = { client: new RouterOsClient(on.transport), clock, defaultPool: "storage-pool" };
  const pools = new PoolReporter(context, (signal) => on.rds.version(signal));
  const watch = new SpaceWatch({ pools, snapshots: on.rds.snapshots, clock, logger: silentLogger });
  const registry = new Registry();
  createSpaceMetrics(registry, () => watch.get());
  /** The samples of a metric, by pool. */
  const samples = async (name: string) =>
    Object.fromEntries(
      [...(await registry.metrics()).matchAll(new RegExp(`^${name}\\{pool="(.*)"\\} (\\S+)$`, "gm"))].map(
        ([, pool = "", value]) => [pool, Number(value)],
      ),
    );
  return { watch, samples, clock };
}

describe("the metrics of space", () => {
  test("pools and snapshots, by two commands a refresh and none a scrape; unknown is absent", async () => {
    const on = await start({
      pools: [
        { slot: "storage-pool", fs: "btrfs", size: 1n << 40n },
        { slot: "other", fs: "xfs", size: 1n << 36n },
      ],
    });
    const { id } = await createVolume(on, { name: "a", required: 5n * MIB });
    await createVolume(on, { name: "b", required: 3n * MIB });
    for (const name of ["s1", "s2"])
      await on.snapshots.create({ name, source: id, parameters: {}, signal: on.signal });
    const { watch, samples } = watchOf(on);
    for (const name of ["rds_csi_pool_size_bytes", "rds_csi_snapshots"])
      expect(await samples(name)).toEqual({});
    expect(await watch.refresh(on.signal)).toBe(true);
    on.commandsSince();
    expect(await watch.refresh(on.signal)).toBe(true);
    expect(on.commandsSince()).toHaveLength(2);
    expect(await samples("rds_csi_pool_promised_bytes")).toEqual({
      "storage-pool": Number(8n * MIB),
      other: 0,
    });
    const { pool } = await on.rds.readPool("storage-pool", 0n, on.signal);
    expect((await samples("rds_csi_pool_size_bytes"))["storage-pool"]).toBe(Number(pool.size));
    expect((await samples("rds_csi_pool_free_bytes"))["storage-pool"]).toBe(Number(pool.free));
    // Only a Btrfs pool has snapshots.
    expect(await samples("rds_csi_snapshots")).toEqual({ "storage-pool": 2 });
    expect(await samples("rds_csi_snapshot_bytes_max")).toEqual({ "storage-pool": Number(10n * MIB) });
    on.commandsSince();
    await samples("rds_csi_snapshots");
    expect(on.commandsSince()).toEqual([]);
    await on.simulator.device.setPool("other", { mounted: false });
    await watch.refresh(on.signal);
    expect(Object.keys(await samples("rds_csi_pool_size_bytes"))).toEqual(["storage-pool"]);
  });

  test("they disappear when the RDS could not be read for long, and come back with it", async () => {
    const on = await start();
    const { watch, samples, clock } = watchOf(on);
    await watch.refresh(on.signal);
    expect(await samples("rds_csi_snapshots")).toEqual({ "storage-pool": 0 });
    await clock.advance(COUNTS_MAX_AGE_MS + 1);
    expect(await samples("rds_csi_snapshots")).toEqual({});
    await watch.refresh(on.signal);
    expect(await samples("rds_csi_snapshots")).toEqual({ "storage-pool": 0 });
  });

  test("it reads every 65 s, from then on, until it is told to stop; failures are repeated", async () => {
    const on = await start();
    const { watch, clock } = watchOf(on);
    const stop = new AbortController();
    on.commandsSince();
    const running = watch.run(stop.signal);
    await clock.advance(REFRESH_MS - 1);
    expect(clock.sleeping).toBe(1);
    await clock.advance(1);
    await until("the first refresh", () => watch.get() !== undefined);
    on.simulator.faults.add({ kind: "permissionMissing", policy: "read" }, { line: /btrfs.subvolume/ });
    on.commandsSince();
    let sent = 0;
    const count = () => {
      sent += on.commandsSince().length;
      return sent;
    };
    await until("it sleeps", () => clock.sleeping > 0);
    await clock.advance(REFRESH_MS);
    await until("a refresh that fails", () => count() === 2);
    await until("it sleeps", () => clock.sleeping > 0);
    await clock.advance(15_000);
    await until("another one", () => count() === 4);
    stop.abort();
    await running;
  });
});
