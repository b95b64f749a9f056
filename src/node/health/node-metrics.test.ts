import { expect, test } from "bun:test";
import { Registry } from "prom-client";
import { ManualClock } from "../../../test/support/clock.ts";
import { failure } from "../../domain/errors/driver-error.ts";
import { volumeIdFromName } from "../../domain/volume-id.ts";
import type { SeenVolume } from "./health-watch.ts";
import { createNodeMetrics, SURVEY_MAX_AGE_MS } from "./node-metrics.ts";

const SLOW: SeenVolume = [volumeIdFromName("slow"), [{ cause: "not-live", message: "not live" }]];
const seen: readonly SeenVolume[] = [
  SLOW,
  [volumeIdFromName("a"), []],
  [
    volumeIdFromName("b"),
    [
      { cause: "not-live", message: "not live" },
      { cause: "device-vanished", message: "gone" },
    ],
  ],
];

test("volumes by cause, and connections by state", async () => {
  const registry = new Registry();
  const metrics = createNodeMetrics(registry, new ManualClock());
  const shown = async (name: string) =>
    [...(await registry.metrics()).matchAll(new RegExp(`^${name}(?:\\{\\w+="(.*)"\\})? (.*)$`, "gm"))]
      .filter(([, , value]) => value !== "0")
      .map(([, label, value]) => `${label ?? ""} ${value}`.trim());
  expect(await shown("rds_csi_node_connections")).toEqual([]);
  expect(await registry.metrics()).not.toContain("rds_csi_node_connections{");
  metrics.surveyed(seen);
  expect(await shown("rds_csi_node_volume_conditions")).toEqual(["device-vanished 1", "not-live 2"]);
  const states = ["live", "connecting", "resetting, live", "deleting (no IO)"];
  const look = (...now: string[]) => metrics.connected(now.map((state, at) => ({ nqn: `nqn-${at}`, state })));
  look(...states);
  expect(await shown("rds_csi_node_connections")).toEqual(["live 2", "connecting 1", "deleting 1"]);
  // A connection that is new has not recovered, and one that stays live neither.
  expect(await shown("rds_csi_node_connection_recoveries_total")).toEqual([]);
  look("live", "live", "live", "deleting (no IO)", "live");
  expect(await shown("rds_csi_node_connection_recoveries_total")).toEqual(["1"]);
  look("live", "weird");
  expect(await shown("rds_csi_node_connections")).toEqual(["live 1", "other 1"]);
  look("live", "live");
  expect(await shown("rds_csi_node_connection_recoveries_total")).toEqual(["2"]);
});

test("volumes are absent before the first look and after the last has become old", async () => {
  const registry = new Registry();
  const clock = new ManualClock();
  const metrics = createNodeMetrics(registry, clock);
  const volumes = async () =>
    [...(await registry.metrics()).matchAll(/^rds_csi_node_volumes\{.*$/gm)].map(([line]) => line);
  expect(await volumes()).toEqual([]);
  metrics.surveyed([SLOW, [volumeIdFromName("a"), []], [volumeIdFromName("b"), []]]);
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
