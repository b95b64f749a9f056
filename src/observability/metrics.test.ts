import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { createMigrationMetrics } from "../controller/migration-metrics.ts";
import { createConnectMetrics } from "../nvme/connect-metrics.ts";
import { createMetrics } from "./metrics.ts";

const build = { version: "1.2.3", commit: "abc" };
const page = await Bun.file(join(import.meta.dir, "../../docs/metrics.md")).text();

/** Rows of the tables: name, type, labels. */
const documented = page
  .split("\n")
  .map((line) => /^\| `([a-z_]+)` \| (\w+) \|(.*?)\| .+ \|$/.exec(line))
  .filter((found) => found !== null)
  .map(([, name, type, labels]) => ({
    name: name ?? "",
    type: type ?? "",
    labels: [...(labels ?? "").matchAll(/`(\w+)`/g)].map((found) => found[1] ?? "").sort(),
  }));

describe("docs/metrics.md", () => {
  test("lists exactly the metrics of the registry, with type and labels", () => {
    const { registry } = createMetrics(build);
    createMigrationMetrics(registry, () => undefined);
    createConnectMetrics(registry, { running: 0, waiting: 0 });
    const registered = registry.getMetricsAsArray().map((metric) => ({
      name: metric.name,
      type: String(metric.type),
      labels: [...((metric as unknown as { labelNames: string[] }).labelNames ?? [])].sort(),
    }));
    const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
    expect(documented.sort(byName)).toEqual(registered.sort(byName));
    expect(registered.length).toBeGreaterThan(12);
  });
});

describe("createMetrics", () => {
  test("two sets do not meet", async () => {
    const [one, two] = [createMetrics(build), createMetrics(build)];
    one.operationsInFlight.inc({ method: "Probe" });
    expect(await one.registry.metrics()).toContain('rds_csi_operations_in_flight{method="Probe"} 1');
    expect(await two.registry.metrics()).not.toContain('method="Probe"');
  });

  test("build and process are there from the start", async () => {
    const { registry } = createMetrics(build);
    const text = await registry.metrics();
    expect(text).toContain('rds_csi_build_info{version="1.2.3",commit="abc"} 1');
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, "m").exec(text)?.[1]);
    expect(value("process_resident_memory_bytes")).toBeGreaterThan(1e6);
    expect(value("process_open_fds")).toBeGreaterThan(2);
    expect(value("process_max_fds")).toBeGreaterThan(value("process_open_fds"));
    expect(value("process_cpu_seconds_total")).toBeGreaterThan(0);
    const age = Date.now() / 1_000 - value("process_start_time_seconds");
    expect(Math.abs(age - process.uptime())).toBeLessThan(5);
  });

  test("CPU time only grows", async () => {
    const { registry } = createMetrics(build);
    const read = async () => Number(/^process_cpu_seconds_total (\S+)$/m.exec(await registry.metrics())?.[1]);
    const first = await read();
    expect(await read()).toBeGreaterThanOrEqual(first);
  });
});
