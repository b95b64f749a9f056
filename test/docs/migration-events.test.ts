import { beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Registry } from "prom-client";
import {
  createMigrationMetrics,
  DRIFT_KINDS,
  type DriftCounts,
  REFUSAL_CAUSES,
} from "../../src/controller/migration-metrics.ts";
import { documentedMetrics } from "../support/metrics-page.ts";
import { plain, readPage, rowsBelow } from "./page.fixture.ts";
import { ROOT } from "./pages.fixture.ts";
import { type Produced, produced } from "./produced.fixture.ts";
import { VOLUME, World } from "./scenarios.fixture.ts";

const metricsPage = await readPage("metrics.md");

describe("docs/events.md", () => {
  let said: Produced;
  beforeAll(async () => {
    said = await produced();
  }, 240_000);

  test("events.md lists exactly the reasons of the code, each with something that the driver says", async () => {
    const events = await readPage("events.md");
    const rows = rowsBelow(events, "## Reasons").map((row) => row.map(plain));
    const source = await Bun.file(join(ROOT, "src/controller/attachment-messages.ts")).text();
    const reasons = new Set([...source.matchAll(/(?:normal|warning)\(\s*"(\w+)"/g)].map((found) => found[1]));
    for (const [, reason] of source.matchAll(/: warning\(\s*"(\w+)"/g)) reasons.add(reason);
    expect(new Set(rows.map(([reason]) => reason))).toEqual(reasons);
    expect(new Set([...said.events].map((event) => event.split(/[ :]/)[1]))).toEqual(reasons);
    for (const [reason, type, , example] of rows)
      expect([...said.events]).toContain(`${type} ${reason}: ${example}`);
  });

  test("every event that the pages of live migration name exists", async () => {
    const reasons = [...said.events].map((event) => event.split(/[ :]/)[1]);
    for (const name of ["kubevirt-migration.md", "migration-guard.md", "fencing.md"]) {
      const named = [
        ...(await readPage(name)).matchAll(
          /\b(?:Migration\w+ed|Attachment\w+|\w+(?:Conflict|Cleared|Fenced|Drift|Exported|Restored))\b/g,
        ),
      ].map(([found]) => found);
      expect(named).not.toBeEmpty();
      expect([name, named.filter((each) => !reasons.includes(each))]).toEqual([name, []]);
    }
  });
});

/** Everything with the driver's name for it, with type and labels. */
function registered(): { name: string; type: string; labels: string[] }[] {
  const registry = new Registry();
  createMigrationMetrics(registry, () => undefined);
  return registry.getMetricsAsArray().map((metric) => ({
    name: metric.name,
    type: String(metric.type),
    labels: [...((metric as unknown as { labelNames?: string[] }).labelNames ?? [])].sort(),
  }));
}

describe("docs/metrics.md, the metrics of migrations", () => {
  test("metrics.md lists the metrics of migrations, with type and labels", () => {
    const documented = documentedMetrics(metricsPage).map(({ name, type, labels }) => ({
      name,
      type,
      labels,
    }));
    for (const metric of registered()) expect(documented).toContainEqual(metric);
  });

  test("metrics.md gives the buckets and the values of labels", async () => {
    const registry = new Registry();
    const { drift } = createMigrationMetrics(registry, () => undefined);
    expect(await registry.metrics()).not.toContain("rds_csi_attachment_drift{");
    drift.set(Object.fromEntries(DRIFT_KINDS.map((kind) => [kind, 0])) as DriftCounts);
    const buckets = [...(await registry.metrics()).matchAll(/_bucket\{le="(\d+)"\}/g)].map(
      (found) => found[1],
    );
    expect(metricsPage).toContain(`Buckets: ${buckets.join(" ")} |`);
    // As the page says, every series of a counter is there before anything has happened.
    const series = [...(await registry.metrics()).matchAll(/^(\w+)\{(\w+)="([a-z-]+)"\} 0$/gm)];
    const values = (label: string) => series.filter((each) => each[2] === label).map((each) => each[3] ?? "");
    expect(values("result").sort()).toEqual(["failed", "success", "timeout"]);
    expect(values("cause").sort()).toEqual([...REFUSAL_CAUSES].sort());
    expect(values("kind").sort()).toEqual([...DRIFT_KINDS].sort());
    for (const label of ["result", "cause", "kind"])
      for (const value of values(label)) expect(metricsPage).toContain(`\`${value}\``);
  });

  test("a replica that stops reconciling shows no drift any more", async () => {
    const world = await World.start();
    try {
      await world.publish("node-a");
      await world.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": false });
      await world.reconcile();
      const shown = async () =>
        /drift\{kind="not-exported"\} (\d)/.exec(await world.stack.registry.metrics())?.[1];
      expect(await shown()).toBe("1");
      await world.reconciler(false).run(AbortSignal.abort());
      expect(await shown()).toBeUndefined();
    } finally {
      await world.stack.close();
    }
  });
});
