import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { stringify } from "yaml";
import { files } from "../manifests/manifests.fixture.ts";
import { blocksOf, readPage } from "./page.fixture.ts";
import { noPromtool, promtool, Recording, type Samples, testRules } from "./promtool.fixture.ts";
import { answer, CLAIM, VOLUME, World } from "./scenarios.fixture.ts";

const [RULES] = files.get("components/monitoring/rules.yaml") ?? [];
const page = await readPage("alerts.md");
const promqlBlocks = [page, await readPage("kubevirt-migration.md")]
  .flatMap(blocksOf)
  .filter(({ language }) => language === "promql");

describe.skipIf(noPromtool !== "")(
  `queries and alerts, by promtool on the driver's own output${noPromtool}`,
  () => {
    const recording = new Recording();
    const LAST = 60;
    let world: World | undefined;
    afterAll(async () => world?.stack.close());

    /** One hour of a cluster: four migrations that end, one that still runs, refusals, drift. Two replicas are scraped. */
    beforeAll(async () => {
      const on = await World.start();
      world = on;
      const replica = on.stack.controller();
      const scrape = async (minute: number) => {
        on.at(minute * 60);
        for (const [instance, stack] of [
          ["leader", on.stack],
          ["replica", replica],
        ] as const) {
          await stack.refreshCounts();
          recording.scrape(instance, minute, await stack.registry.metrics());
        }
      };
      await scrape(0);
      await scrape(1);
      await on.publish("node-a");
      await on.publish("node-b");
      await scrape(2);
      on.at(60 + 42);
      on.cluster.moveMachine("vm1", "node-b");
      await on.unpublish("node-a");
      await scrape(3);
      await on.publish("node-a");
      on.at(180 + 48);
      on.cluster.moveMachine("vm1", "node-a");
      await on.unpublish("node-b");
      await scrape(5);
      await on.publish("node-b");
      on.at(300 + 75);
      await on.unpublish("node-b");
      await scrape(8);
      await on.publish("node-b");
      for (const _ of [1, 2]) expect(await answer(on.publish("node-c"))).toStartWith("thirdNode");
      await scrape(9);
      on.at(480 + 301);
      await on.reconcile();
      expect(await answer(on.publish("node-c"))).toStartWith("migrationOverdue");
      await scrape(14);
      on.at(480 + 600);
      on.cluster.moveMachine("vm1", "node-b");
      await on.unpublish("node-a");
      await scrape(20);
      // A second writer that goes on for minutes.
      on.cluster.addPod("backup", "node-a", CLAIM);
      for (const minute of [21, 25, 30]) {
        expect(await answer(on.publish("node-a"))).toContain("pod vms/backup belongs to no");
        await scrape(minute);
      }
      on.cluster.pods.pop();
      await on.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": false });
      await on.reconcile();
      await on.stack.simulator.device.setDisk(VOLUME, { "nvme-tcp-export": true });
      await scrape(40);
      // A machine that starts before its old node is detached; some seconds later it has the volume.
      const [old] = on.cluster.pods.splice(1, 1);
      expect(await answer(on.publish("node-a"))).toContain("nothing can be migrating from there");
      if (old !== undefined) on.cluster.pods.push(old);
      await scrape(45);
      await on.publish("node-a");
      await scrape(58);
      await scrape(LAST);
    }, 240_000);

    // Worked out by hand from the hour above; the two replicas must not be counted twice.
    const DURATIONS = [42, 48, 75, 600];
    const expected: Record<string, { minute?: number; samples: Samples }> = {
      "max(rds_csi_migration_active_migrations)": { samples: { "{}": 1 } },
      // Two that succeed in the first five minutes, one that is overdue in the last five.
      'sum(rate(rds_csi_migration_migrations_total{result="success"}[5m]))': {
        minute: 5,
        samples: { "{}": 2 / 300 },
      },
      'sum(rate(rds_csi_migration_migrations_total{result="timeout"}[5m]))': {
        minute: 15,
        samples: { "{}": 1 / 300 },
      },
      // The fourth of four is in the bucket 300-600; Prometheus interpolates within it.
      "histogram_quantile(0.95, sum by (le) (increase(rds_csi_migration_duration_seconds_bucket[24h])))": {
        samples: { "{}": 300 + 300 * (0.95 * 4 - 3) },
      },
      "sum by (result) (increase(rds_csi_migration_migrations_total[24h]))": {
        samples: { '{result="success"}': 2, '{result="failed"}': 1, '{result="timeout"}': 1 },
      },
      'sum(increase(rds_csi_migration_migrations_total{result="success"}[24h])) / sum(increase(rds_csi_migration_migrations_total[24h]))':
        { samples: { "{}": 0.5 } },
      "sum(increase(rds_csi_migration_duration_seconds_sum[24h])) / sum(increase(rds_csi_migration_duration_seconds_count[24h]))":
        { samples: { "{}": DURATIONS.reduce((sum, each) => sum + each) / DURATIONS.length } },
      "max(rds_csi_attachment_dual_attached_volumes)": { samples: { "{}": 1 } },
      "sum by (cause) (increase(rds_csi_attachment_refusals_total[1h]))": {
        samples: {
          '{cause="third-node"}': 2,
          '{cause="overdue"}': 1,
          '{cause="not-proven"}': 4,
          '{cause="attached-elsewhere"}': 0,
          '{cause="guard-unavailable"}': 0,
          '{cause="incompatible"}': 0,
        },
      },
      "max by (kind) (rds_csi_attachment_drift) > 0": { samples: { '{kind="not-exported"}': 1 } },
      "sum(increase(rds_csi_attachment_stale_cleared_total[24h]))": { samples: { "{}": 0 } },
    };
    const rules = stringify(RULES.spec);
    /** Minutes at which each alert must be silent, and fire. */
    const alerts: Record<string, { silent: number[]; fires: number[]; labels?: Record<string, string> }> = {
      RdsCsiMigrationOverdue: { silent: [1, 9], fires: [15, 40] },
      RdsCsiMigrationFailed: { silent: [1, 5], fires: [9, 60] },
      // Refused from minute 21 to 30; the single refusal of minute 45 is not worth an alert.
      RdsCsiSecondWriterRefused: { silent: [1, 15, 35, 45, 52, 60], fires: [37] },
      RdsCsiTwoNodesForLong: { silent: [1, 60], fires: [] },
      RdsCsiAttachmentDrift: { silent: [30, 45], fires: [55], labels: { kind: "not-exported" } },
    };
    const queries = Object.entries(expected).map(([expr, { minute = LAST, samples }]) => ({
      minute,
      expr,
      samples,
    }));
    const firing = Object.entries(alerts).flatMap(([name, { silent, fires, labels = {} }]) => {
      const expr = `sum by (${Object.keys(labels).join(",")}) (ALERTS{alertname="${name}",alertstate="firing"})`;
      const text = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
      return [
        ...silent.map((minute) => ({ minute, expr, samples: {} })),
        ...fires.map((minute) => ({ minute, expr, samples: { [`{${text.join(",")}}`]: 1 } })),
      ];
    });

    test("every query of the pages has an expected value here", () => {
      expect(promqlBlocks.map(({ text }) => text).sort()).toEqual(Object.keys(expected).sort());
    });

    test("queries yield the right values, alerts fire when they should", async () => {
      const input = recording.input();
      expect(input).not.toBeEmpty();
      expect(await testRules({ rules, input, alerts: [], expressions: [...queries, ...firing] })).toBe("");
    });

    test("this test can fail: a wrong value and a wrong name are found", async () => {
      const base = { rules, input: recording.input(), alerts: [] };
      const yields = (expr: string, samples: Samples) =>
        testRules({ ...base, expressions: [{ minute: LAST, expr, samples }] });
      const query = "sum by (result) (increase(rds_csi_migration_migrations_total[24h]))";
      expect(await yields(query, { '{result="success"}': 3 })).toContain("FAILED");
      expect(await yields("max(rds_csi_migration_active_migration)", { "{}": 1 })).toContain("FAILED");
    });

    test("the exposition passes promtool check metrics", async () => {
      const text = (await world?.stack.registry.metrics()) ?? "";
      expect(text).toContain("rds_csi_migration_migrations_total");
      expect(await promtool(["check", "metrics"], text)).toEqual({ code: 0, text: "" });
    });
  },
);
