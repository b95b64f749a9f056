import { describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import packageJson from "../../package.json" with { type: "json" };
import { MANIFESTS, parseManifests } from "../manifests/manifests.fixture.ts";
import { documentedMetrics } from "../support/metrics-page.ts";
import { readPage } from "./page.fixture.ts";
import { noPromtool, testRules } from "./promtool.fixture.ts";

interface Rule {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: { readonly severity: string };
  readonly annotations: {
    readonly summary: string;
    readonly description: string;
    readonly runbook_url: string;
  };
}

const ROOT = join(import.meta.dir, "../..");
const RULES = "components/monitoring/rules.yaml";
const [{ spec }] = parseManifests(readFileSync(join(MANIFESTS, RULES), "utf8"), RULES);
const rules: readonly Rule[] = spec.groups.flatMap((group: { rules: Rule[] }) => group.rules);
const named = new Map(rules.map((rule) => [rule.alert, rule]));

/** Series to their values by minute, in promtool's notation. */
type Series = Readonly<Record<string, string>>;

interface Case {
  /** What is scraped when it fires, and when it is well. */
  readonly wrong: Series;
  readonly well: Series;
  /** Other ways to be wrong, which fire at the same minute with any value; and to be well. */
  readonly alsoWrong?: readonly Series[];
  readonly alsoWell?: readonly Series[];
  /** The minute at which it has just not fired yet, and that at which it fires. */
  readonly silent?: number;
  readonly fires: number;
  readonly labels?: Readonly<Record<string, string>>;
  /** The value as the description writes it. */
  readonly value?: string;
}

const on = (metric: string, labels: Readonly<Record<string, string>>): string =>
  `${metric}{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(",")}}`;
const controller = (metric: string, labels: Readonly<Record<string, string>> = {}, pod = "a"): string =>
  on(metric, { ...labels, pod });
const NODE = { node: "worker-1", instance: "192.0.2.31:29809" };
const node = (metric: string, labels: Readonly<Record<string, string>> = {}): string =>
  on(metric, { ...labels, ...NODE });

const UNREACHABLE = controller("rds_csi_rds_connect_failures_total", { cause: "unreachable" });
const GIB = 1024 ** 3;
const SIZE = { [controller("rds_csi_pool_size_bytes", { pool: "p1" })]: `${1000 * GIB}x6000` };
const free = (values: string, pod = "a"): Series => ({
  ...SIZE,
  [controller("rds_csi_pool_free_bytes", { pool: "p1" }, pod)]: values,
});
const finding = (id: string, values: string): Series => ({
  [controller("rds_csi_volume_findings", { finding: id })]: values,
});
/** A counter with one step at minute 20. */
const STEP = "0x19 3x400";

const CASES: Readonly<Record<string, Case>> = {
  RdsCsiControllerMissing: {
    wrong: { [UNREACHABLE]: "0x10 _x60" },
    // One of two replicas is enough.
    well: {
      [UNREACHABLE]: "0x10 _x60",
      [controller("rds_csi_rds_connect_failures_total", { cause: "unreachable" }, "b")]: "0x70",
    },
    ...{ silent: 20, fires: 30, labels: { cause: "unreachable" } },
  },
  RdsCsiRdsUnreachable: {
    wrong: { [controller("rds_csi_rds_last_success_timestamp_seconds")]: "0x60" },
    well: {
      [controller("rds_csi_rds_last_success_timestamp_seconds")]: "0x60",
      [controller("rds_csi_rds_last_success_timestamp_seconds", {}, "b")]: "0+60x60",
    },
    // No answer since the controllers have started; one of them has just done so.
    alsoWrong: [
      {
        [UNREACHABLE]: "0x60",
        [controller("rds_csi_rds_connect_failures_total", { cause: "unreachable" }, "b")]: "_x7 0x60",
        [controller("process_start_time_seconds")]: "0x60",
        [controller("process_start_time_seconds", {}, "b")]: "_x7 420x60",
      },
    ],
    alsoWell: [
      {
        [UNREACHABLE]: "0x60",
        [controller("process_start_time_seconds")]: "0x60",
        [controller("rds_csi_rds_last_success_timestamp_seconds")]: "0+60x60",
        // Of a node.
        [on("process_start_time_seconds", { pod: "n" })]: "0x60",
      },
    ],
    ...{ silent: 6, fires: 8, value: "8m 0s" },
  },
  RdsCsiRdsKeyRefused: {
    wrong: { [controller("rds_csi_rds_connect_failures_total", { cause: "host-key" })]: "0+1x60" },
    well: { [controller("rds_csi_rds_connect_failures_total", { cause: "unreachable" })]: "0+1x60" },
    ...{ silent: 4, fires: 20, labels: { cause: "host-key" }, value: "10" },
  },
  RdsCsiRdsCommandsRefused: {
    wrong: { [controller("rds_csi_rds_command_failures_total", { class: "permission" })]: "0+1x60" },
    well: { [controller("rds_csi_rds_command_failures_total", { class: "own" })]: "0+1x60" },
    ...{ silent: 4, fires: 30, labels: { class: "permission" }, value: "15" },
  },
  RdsCsiReconcileFailing: {
    wrong: {
      [UNREACHABLE]: "0x60",
      [controller("rds_csi_attachment_drift", { kind: "not-exported" })]: "0x4 _x60",
    },
    well: {
      [UNREACHABLE]: "0x60",
      [controller("rds_csi_attachment_drift", { kind: "not-exported" }, "b")]: "0x60",
    },
    ...{ silent: 15, fires: 30, value: "1" },
  },
  RdsCsiInternalErrors: {
    wrong: {
      [controller("rds_csi_operations_total", { method: "CreateVolume", grpc_code: "INTERNAL" })]: STEP,
    },
    well: {
      [controller("rds_csi_operations_total", { method: "CreateVolume", grpc_code: "ABORTED" })]: STEP,
    },
    ...{ silent: 24, fires: 60, labels: { method: "CreateVolume" }, value: "3" },
  },
  RdsCsiPoolAlmostFull: {
    wrong: free(`${40 * GIB}x60`),
    well: free(`${60 * GIB}x60`),
    ...{ silent: 4, fires: 6, labels: { pool: "p1" }, value: "4%" },
  },
  RdsCsiPoolFilling: {
    wrong: free(`${140 * GIB}x60`),
    well: free(`${160 * GIB}x60`),
    ...{ silent: 14, fires: 16, labels: { pool: "p1" }, value: "14%" },
  },
  RdsCsiPoolFullInFourDays: {
    // 100 GiB a day of 400.
    wrong: free(`${450 * GIB}-${(120 * GIB) / 1440}x2000`),
    well: free(`${450 * GIB}-${(80 * GIB) / 1440}x2000`),
    ...{ silent: 30, fires: 1440, labels: { pool: "p1" }, value: "150Gi" },
  },
  RdsCsiPoolDegraded: {
    wrong: finding("pool-degraded", "2x60"),
    well: { ...finding("pool-degraded", "0x60"), ...finding("pool-filling", "2x60") },
    ...{ silent: 4, fires: 6, value: "2" },
  },
  RdsCsiPoolNotMounted: {
    wrong: finding("pool-not-mounted", "2x60"),
    well: finding("pool-not-mounted", "0x60"),
    ...{ silent: 4, fires: 6, value: "2" },
  },
  RdsCsiVolumesBroken: {
    wrong: { [controller("rds_csi_volumes", { state: "broken" })]: "1x60" },
    well: {
      [controller("rds_csi_volumes", { state: "attached" })]: "1x60",
      [controller("rds_csi_volumes", { state: "missing" })]: "0x60",
    },
    ...{ silent: 14, fires: 16, labels: { state: "broken" }, value: "1" },
  },
  RdsCsiOrphans: {
    wrong: { [controller("rds_csi_orphans", { kind: "disk" })]: "2x2000" },
    well: {
      ...{ [controller("rds_csi_orphans", { kind: "disk" })]: "0x2000" },
      // One that has gone before the day was over.
      ...{ [controller("rds_csi_orphans", { kind: "snapshot" })]: "1x1400 0x600" },
      // Old as it may be, it is not there any more.
      ...{ [controller("rds_csi_orphan_oldest_age_seconds", { kind: "file" })]: "1e9x2000" },
      ...finding("pv-missing", "1x2000"),
    },
    // Another replica leads: the value is missing for minutes.
    alsoWrong: [
      {
        [controller("rds_csi_orphans", { kind: "disk" })]: "2x700 stale _x1300",
        [controller("rds_csi_orphans", { kind: "disk" }, "b")]: "_x706 2x1300",
      },
    ],
    ...{ silent: 1_439, fires: 1_441, labels: { kind: "disk" }, value: "2" },
  },
  RdsCsiAttachmentDrift: {
    wrong: { [controller("rds_csi_attachment_drift", { kind: "not-exported" })]: "1x60" },
    well: { [controller("rds_csi_attachment_drift", { kind: "not-exported" })]: "0x60" },
    ...{ silent: 9, fires: 11, labels: { kind: "not-exported" }, value: "1" },
  },
  RdsCsiMigrationOverdue: {
    wrong: { [controller("rds_csi_migration_migrations_total", { result: "timeout" })]: "0x19 1x400" },
    well: { [controller("rds_csi_migration_migrations_total", { result: "success" })]: "0x19 1x400" },
    ...{ silent: 19, fires: 21, value: "1" },
  },
  RdsCsiMigrationFailed: {
    wrong: { [controller("rds_csi_migration_migrations_total", { result: "failed" })]: "0x19 1x400" },
    well: { [controller("rds_csi_migration_migrations_total", { result: "timeout" })]: "0x19 1x400" },
    ...{ silent: 19, fires: 60, value: "1" },
  },
  RdsCsiTwoNodesForLong: {
    wrong: { [controller("rds_csi_attachment_dual_attached_volumes")]: "1x400" },
    well: { [controller("rds_csi_attachment_dual_attached_volumes")]: "1x100 0x300" },
    ...{ silent: 179, fires: 181, value: "1" },
  },
  RdsCsiSecondWriterRefused: {
    wrong: { [controller("rds_csi_attachment_refusals_total", { cause: "not-proven" })]: "0+1x60" },
    well: { [controller("rds_csi_attachment_refusals_total", { cause: "not-proven" })]: STEP },
    ...{ silent: 15, fires: 30, value: "10" },
  },
  RdsCsiNodePluginMissing: {
    wrong: { [on("up", { job: "rds-csi/rds-csi-node", ...NODE })]: "1x9 0x60" },
    well: {
      [on("up", { job: "rds-csi/rds-csi-node", ...NODE })]: "1x60",
      [on("up", { job: "other", ...NODE })]: "0x60",
    },
    alsoWrong: [
      { [on("up", { job: "other", ...NODE })]: "1x60" },
      {
        [on("up", { job: "rds-csi/rds-csi-node", ...NODE })]: "1x60",
        [on("kube_daemonset_status_number_unavailable", {
          ...{ daemonset: "rds-csi-node", namespace: "rds-csi", instance: "192.0.2.99:8080" },
        })]: "1x60",
      },
    ],
    ...{ silent: 19, fires: 25, labels: { job: "rds-csi/rds-csi-node", ...NODE } },
  },
  RdsCsiVolumeAbnormalOnNode: {
    wrong: { [node("rds_csi_node_volume_conditions", { cause: "not-live" })]: "1x60" },
    well: { [node("rds_csi_node_volume_conditions", { cause: "not-live" })]: "0x60" },
    ...{ silent: 4, fires: 6, labels: { cause: "not-live", ...NODE }, value: "1" },
  },
  RdsCsiConnectionsNotLive: {
    wrong: { [node("rds_csi_node_connections", { state: "connecting" })]: "2x60" },
    well: { [node("rds_csi_node_connections", { state: "live" })]: "2x60" },
    ...{ silent: 1, fires: 3, labels: NODE, value: "2" },
  },
  RdsCsiConnectionsReconnecting: {
    wrong: {
      [node("rds_csi_node_connection_recoveries_total")]: "0+1x100",
      [node("rds_csi_node_connections", { state: "live" })]: "2x100",
    },
    // Ten connections, each lost once: the RDS has restarted.
    well: {
      [node("rds_csi_node_connection_recoveries_total")]: "0x19 10x100",
      [node("rds_csi_node_connections", { state: "live" })]: "10x100",
    },
    alsoWell: [
      {
        [node("rds_csi_node_connection_recoveries_total")]: STEP,
        [node("rds_csi_node_connections", { state: "live" })]: "1x100",
      },
    ],
    ...{ silent: 5, fires: 70, labels: NODE, value: "60" },
  },
  RdsCsiUnstageRefused: {
    wrong: { [node("rds_csi_node_unstage_refusals_total", { cause: "in-use" })]: "0+1x100" },
    well: { [node("rds_csi_node_unstage_refusals_total", { cause: "in-use" })]: STEP },
    ...{ silent: 15, fires: 40, labels: { cause: "in-use", ...NODE }, value: "15" },
  },
};

/** A text of an annotation as Prometheus makes it. */
const written = (text: string, { labels = {}, value = "" }: Case): string =>
  text
    .replace(/\{\{ if \$labels\.(\w+) \}\}(.*?)\{\{ else \}\}(.*?)\{\{ end \}\}/g, (_, label, yes, no) =>
      labels[label] ? yes : no,
    )
    .replace(/\{\{ \$labels\.(\w+) \}\}/g, (_, label) => labels[label] ?? "")
    .replace(/\{\{ \$value(?: \| \w+)? \}\}/g, value);

const input = (series: Series) => Object.entries(series).map(([name, values]) => ({ series: name, values }));

test("every alert has a case, a severity, its objects in words, and a page", () => {
  expect([...named.keys()].toSorted()).toEqual(Object.keys(CASES).toSorted());
  for (const { alert, labels, annotations } of rules) {
    expect(["critical", "warning", "info"]).toContain(labels.severity);
    expect(Object.keys(annotations)).toEqual(["summary", "description", "runbook_url"]);
    expect(annotations.runbook_url).toBe(`${packageJson.homepage}/blob/main/docs/runbooks/${alert}.md`);
    expect([alert, existsSync(join(ROOT, `docs/runbooks/${alert}.md`))]).toEqual([alert, true]);
  }
});

test("docs/alerts.md lists every alert with its severity; each page has the same sections", async () => {
  const listed = [
    ...(await readPage("alerts.md")).matchAll(/^\| \[`(\w+)`\]\(runbooks\/(\w+)\.md\) \| (\w+) \|/gm),
  ];
  expect(listed.map(([, name, file, severity]) => [name, file, severity])).toEqual(
    rules.map(({ alert, labels }) => [alert, alert, labels.severity]),
  );
  const pages = readdirSync(join(ROOT, "docs/runbooks")).toSorted();
  expect(pages).toEqual([...named.keys()].map((name) => `${name}.md`).toSorted());
  for (const page of pages) {
    const text = await readPage(`runbooks/${page}`);
    expect([page, [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) => title)]).toEqual([
      page,
      [page.replace(".md", ""), "How bad it is", "Look", "Do", "Do not", "It is over when"],
    ]);
  }
});

test("every metric and value in an expression is one that the program has", async () => {
  const page = documentedMetrics(await Bun.file(join(ROOT, "docs/metrics.md")).text());
  const volumes = await Bun.file(join(ROOT, "docs/volumes.md")).text();
  for (const { alert, expr } of rules) {
    for (const [, name = "", selector = ""] of expr.matchAll(/\b(rds_csi_\w+)(?:\{([^}]*)\})?/g)) {
      const metric = page.find((each) => each.name === name);
      expect([alert, name, metric?.name]).toEqual([alert, name, name]);
      for (const [, label = "", values = ""] of selector.matchAll(/(\w+)!?=~?"([^"]*)"/g)) {
        expect([alert, metric?.labels.includes(label)]).toEqual([alert, true]);
        const text = label === "finding" ? volumes : (metric?.meaning ?? "");
        for (const value of values.split("|"))
          expect([alert, text.includes(`\`${value}\``)]).toEqual([alert, true]);
      }
    }
  }
});

describe.skipIf(noPromtool !== "")(`alerts, by promtool${noPromtool}`, () => {
  test.each(Object.entries(CASES))("%s fires when it should, and only then", async (name, each) => {
    const rule = named.get(name);
    if (rule === undefined) throw new Error(`there is no ${name}`);
    const { annotations, labels } = rule;
    const { wrong, well, silent, fires, labels: own = {} } = each;
    const fired = {
      labels: { severity: labels.severity, ...own },
      annotations: {
        summary: written(annotations.summary, each),
        description: written(annotations.description, each),
        runbook_url: annotations.runbook_url,
      },
    };
    // Its own rule alone: a series that is wrong may mean another alert, too.
    const text = stringify({ groups: [{ name: "one", rules: [rule] }] });
    const base = { rules: text, expressions: [] };
    const alerts = [
      ...(silent === undefined ? [] : [{ name, minute: silent, fires: [] }]),
      { name, minute: fires, fires: [fired] },
    ];
    expect(await testRules({ ...base, input: input(wrong), alerts })).toBe("");
    for (const series of [well, ...(each.alsoWell ?? [])])
      expect(
        await testRules({ ...base, input: input(series), alerts: [{ name, minute: fires, fires: [] }] }),
      ).toBe("");
    // That an alert fires, whatever it says: its name and state are series, too.
    const firing = `count(ALERTS{alertname="${name}",alertstate="firing"}) > bool 0`;
    for (const series of each.alsoWrong ?? [])
      expect(
        await testRules({
          ...{ rules: text, input: input(series), alerts: [] },
          expressions: [{ expr: firing, minute: fires, samples: { "{}": 1 } }],
        }),
      ).toBe("");
  });
});
