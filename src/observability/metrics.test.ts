import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { documentedMetrics } from "../../test/support/metrics-page.ts";
import { registryOf } from "../../test/support/registry.ts";
import { CONNECT_FAILURE_CAUSES } from "../cli/rds-metrics.ts";
import { DRIFT_KINDS, REFUSAL_CAUSES } from "../controller/migration-metrics.ts";
import { VOLUME_STATES } from "../inspect/compare.ts";
import { NODE_RATINGS } from "../inspect/health.ts";
import { CONNECTION_STATES, UNSTAGE_REFUSAL_CAUSES } from "../node/health/node-metrics.ts";
import { CONNECT_OUTCOMES } from "../nvme/connect-metrics.ts";
import { FAILURE_CLASSES } from "../routeros/failure-class.ts";
import { createMetrics } from "./metrics.ts";

const build = { version: "1.2.3", commit: "abc" };
const page = await Bun.file(join(import.meta.dir, "../../docs/metrics.md")).text();
const documented = documentedMetrics(page);

interface Inner {
  readonly labelNames?: string[];
  readonly upperBounds?: number[];
}

describe("docs/metrics.md", () => {
  for (const mode of ["controller", "node"] as const) {
    test(`lists exactly the metrics of the ${mode}, with type, labels and buckets`, () => {
      const registered = registryOf(mode)
        .getMetricsAsArray()
        .map((metric) => {
          const { labelNames = [], upperBounds = [] } = metric as unknown as Inner;
          const { name, type } = metric;
          return { name, type: String(type), labels: [...labelNames].sort(), buckets: upperBounds.join(" ") };
        });
      const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
      const listed = documented
        .filter(({ modes }) => modes.includes(mode))
        .map(({ name, type, labels, buckets }) => ({ name, type, labels, buckets }));
      expect(listed.sort(byName)).toEqual(registered.sort(byName));
      expect(registered.length).toBeGreaterThan(10);
    });
  }

  test("names every value of every label with a fixed set", () => {
    const values: Record<string, readonly string[]> = {
      rds_csi_rds_connect_failures_total: CONNECT_FAILURE_CAUSES,
      rds_csi_rds_command_failures_total: FAILURE_CLASSES,
      rds_csi_attachment_refusals_total: REFUSAL_CAUSES,
      rds_csi_attachment_drift: DRIFT_KINDS,
      rds_csi_node_unstage_refusals_total: UNSTAGE_REFUSAL_CAUSES,
      rds_csi_nvme_connects_total: CONNECT_OUTCOMES,
      rds_csi_migration_migrations_total: ["success", "failed", "timeout"],
      rds_csi_node_volumes: ["normal", "abnormal"],
      rds_csi_node_volume_conditions: Object.keys(NODE_RATINGS),
      rds_csi_node_connections: CONNECTION_STATES,
      rds_csi_volumes: VOLUME_STATES,
    };
    for (const [name, known] of Object.entries(values)) {
      const meaning = documented.find((each) => each.name === name)?.meaning ?? "";
      expect([name, known.filter((value) => !meaning.includes(`\`${value}\``))]).toEqual([name, []]);
    }
  });

  test("labels are bounded: none can hold an id, an address or a text; pools are few", () => {
    const labels = new Set(documented.flatMap((each) => each.labels));
    const bounded = ["method", "grpc_code", "purpose", "outcome", "class", "cause", "kind", "result", "pool"];
    const more = ["condition", "finding", "state", "version", "commit"];
    expect([...labels].sort()).toEqual([...bounded, ...more].sort());
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
