import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../../test/support/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { createNodeMetrics, SURVEY_MAX_AGE_MS } from "./node-metrics.ts";

test("volumes are absent before the first look and after the last has become old", async () => {
  const registry = new Registry();
  const clock = new ManualClock();
  const metrics = createNodeMetrics(registry, clock);
  const volumes = async () =>
    [...(await registry.metrics()).matchAll(/^rds_csi_node_volumes\{.*$/gm)].map(([line]) => line);
  expect(await volumes()).toEqual([]);
  metrics.surveyed(3, 1);
  const shown = [
    'rds_csi_node_volumes{condition="normal"} 2',
    'rds_csi_node_volumes{condition="abnormal"} 1',
  ];
  expect(await volumes()).toEqual(shown);
  await clock.advance(SURVEY_MAX_AGE_MS);
  expect(await volumes()).toEqual(shown);
  await clock.advance(1);
  expect(await volumes()).toEqual([]);
});

test("refusals by cause; a caller's mistake is none", async () => {
  const registry = new Registry();
  const metrics = createNodeMetrics(registry, new ManualClock());
  metrics.unstageFailed(failure("deviceInUse", { volume: "v", device: "/dev/nvme0n1", users: ["pid 7"] }));
  metrics.unstageFailed(failure("fieldMissing", { field: "volume_id" }));
  metrics.unstageFailed(new Error("defect"));
  const lines = (await registry.metrics()).match(/^rds_csi_node_unstage_refusals_total\{.*$/gm) ?? [];
  expect(lines.map((line) => line.replace(/^.*cause=/, ""))).toEqual([
    '"in-use"} 1',
    '"unmount-failed"} 0',
    '"not-proven"} 0',
    '"unknown"} 0',
  ]);
});
