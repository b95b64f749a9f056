import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { DASHBOARDS } from "../../scripts/lib/dashboards/dashboards.ts";
import { VolumeCapability_AccessMode_Mode as Mode } from "../../src/csi/gen/csi_pb.ts";
import { executable, shortDirectory } from "../support/executable.ts";
import { type Drawn, drawing } from "../support/picture.ts";
import {
  freePort,
  jobsOf,
  noPrometheus,
  startPrometheus,
  type TestPrometheus,
} from "../support/prometheus.ts";
import { type Stand, startStand, until } from "../support/stand.ts";

// Every query of the dashboards, by a real Prometheus that scrapes the executable.

/** The first reading of the pools comes after 65 s. */
const LIMIT_MS = 120_000;
const CAPABILITY = {
  accessMode: { mode: Mode.MULTI_NODE_MULTI_WRITER },
  accessType: { case: "block", value: {} },
} as const;

/** A query as Grafana sends it. */
const filled = (expr: string): string =>
  expr.replaceAll("$__rate_interval", "30s").replaceAll("$instance", ".+");

describe.skipIf(noPrometheus !== "")(`the dashboards${noPrometheus}`, () => {
  let directory = "";
  let stand: Stand | undefined;
  let prometheus: TestPrometheus | undefined;

  beforeAll(async () => {
    directory = await shortDirectory();
    const [controller, node] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const on = await startStand({
      executable,
      directory: join(directory, "s"),
      nodes: ["node-a", "node-b"],
      metricsAddress: controller,
      startNodes: false,
      node: ["--metrics-address", node],
    });
    stand = on;
    await on.startNode("node-a");
    prometheus = await startPrometheus(directory, jobsOf({ controller: [controller], node: [node] }));
    // A migration that succeeds, and a refused third node.
    const volume = async (name: string) => {
      const request = { name, volumeCapabilities: [CAPABILITY], capacityRange: { requiredBytes: 1n << 20n } };
      return (await on.controller.createVolume(request)).volume?.volumeId ?? "";
    };
    const call = (volumeId: string, nodeId: string) => ({ volumeId, nodeId });
    const [moved, still] = [await volume("moved"), await volume("still")];
    const publish = (id: string, node: string) =>
      on.controller.controllerPublishVolume({ ...call(id, node), volumeCapability: CAPABILITY });
    await publish(moved, "node-a");
    await publish(moved, "node-b");
    await until(
      "the scrape before the end",
      async () => (await prometheus?.query("rds_csi_migration_active_migrations == 1"))?.length === 1,
    );
    await on.controller.controllerUnpublishVolume(call(moved, "node-a"));
    await publish(still, "node-a");
  }, 240_000);

  afterAll(async () => {
    await prometheus?.stop();
    await stand?.close();
    if (directory !== "") await rm(directory, { recursive: true });
  });

  test(
    "each query of each panel returns data",
    async () => {
      const all = Object.entries(DASHBOARDS).flatMap(([name, { rows }]) =>
        rows.flatMap(({ panels }) =>
          panels.flatMap(({ title, queries }) => queries.map(({ expr }) => ({ name, title, expr }))),
        ),
      );
      expect(all.length).toBeGreaterThan(40);
      let empty = all;
      await until(
        "data for every query",
        async () => {
          const answers = await Promise.all(
            empty.map(async (each) => ({ each, series: await prometheus?.query(filled(each.expr)) })),
          );
          empty = answers.flatMap(({ each, series }) => (series?.length ? [] : [each]));
          return empty.length === 0;
        },
        [],
        LIMIT_MS,
      ).catch(() => {});
      expect(empty).toEqual([]);
      const record = process.env.RDS_CSI_DASHBOARD_RECORD ?? "";
      if (record === "") return;
      await work();
      await writeFile(record, await pictureOf());
    },
    LIMIT_MS + 150_000,
  );

  test("a query without data is found", async () => {
    expect(await prometheus?.query("rds_csi_no_such_metric")).toEqual([]);
    await expect(Promise.resolve(prometheus?.query("sum(")) as Promise<unknown>).rejects.toThrow(
      "parse error",
    );
  });

  /** A minute and a half of ordinary work, for the picture. */
  async function work(): Promise<void> {
    const on = stand;
    if (on === undefined) return;
    const volumes: string[] = [];
    for (let turn = 0; turn < 30; turn += 1) {
      const request = {
        name: `work-${turn}`,
        volumeCapabilities: [CAPABILITY],
        capacityRange: { requiredBytes: 1n << 30n },
      };
      const volumeId = (await on.controller.createVolume(request)).volume?.volumeId ?? "";
      volumes.push(volumeId);
      await on.controller.controllerPublishVolume({
        volumeId,
        nodeId: "node-b",
        volumeCapability: CAPABILITY,
      });
      const old = turn % 3 === 2 ? volumes.shift() : undefined;
      if (old !== undefined) {
        await on.controller.controllerUnpublishVolume({ volumeId: old, nodeId: "node-b" });
        await on.controller.deleteVolume({ volumeId: old });
      }
      await delay(3_000);
    }
  }

  /** The lines of the overview during this test. */
  async function pictureOf(): Promise<string> {
    const panels =
      DASHBOARDS.overview?.rows.flatMap((row) => row.panels.map((panel) => ({ ...panel, row: row.title }))) ??
      [];
    const drawn: Drawn[] = [];
    for (const { kind, row, title, unit, queries } of panels) {
      if (kind !== "graph") continue;
      const lines = await Promise.all(
        queries.map(async ({ expr, legend }) =>
          ((await prometheus?.range(filled(expr), 90)) ?? []).map(({ metric, values }) => ({
            name: legend.replace(/\{\{(\w+)\}\}/g, (_, label) => metric[label] ?? ""),
            points: values.map(([at, value]): [number, number] => [at, Number(value)]),
          })),
        ),
      );
      drawn.push({ title: `${row}: ${title}`, unit, lines: lines.flat() });
    }
    return drawing("rds-csi / Overview", drawn);
  }
});
