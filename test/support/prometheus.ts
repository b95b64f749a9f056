import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { stringify } from "yaml";
import { listenOn } from "./listen.ts";
import { launch, type Running } from "./processes.ts";
import { until } from "./stand.ts";

/** Path of Prometheus (Debian package `prometheus`), or null. */
export const PROMETHEUS = Bun.which("prometheus");
/** Why tests with Prometheus are skipped, for their titles; "" where they run. */
export const noPrometheus = PROMETHEUS === null ? " (needs prometheus)" : "";

/** A series as the API answers it: for a point in time one value, for a range all. */
export interface PromSeries {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly (readonly [seconds: number, value: string])[];
}

/** A Prometheus of a test. */
export interface TestPrometheus {
  /** Values now. */
  query(expr: string): Promise<readonly PromSeries[]>;
  /** Values of the last seconds, one each second. */
  range(expr: string, seconds: number): Promise<readonly PromSeries[]>;
  stop(): Promise<void>;
}

/** A port of loopback that is free now. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await listenOn(server, 0);
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

/** Jobs of Prometheus that scrape addresses. @param targets addresses by job */
export const jobsOf = (targets: Readonly<Record<string, readonly string[]>>): readonly object[] =>
  Object.entries(targets).map(([job, addresses]) => ({
    job_name: job,
    static_configs: [{ targets: addresses }],
  }));

/**
 * Starts Prometheus on loopback; it scrapes each second.
 * @param directory must exist
 * @param jobs as the key scrape_configs of its configuration takes them
 * @param groups of rules, which are evaluated each second
 */
export async function startPrometheus(
  directory: string,
  jobs: readonly object[],
  groups: readonly object[] = [],
): Promise<TestPrometheus> {
  if (PROMETHEUS === null) throw new Error("prometheus is missing");
  const port = await freePort();
  const config = join(directory, "prometheus.yaml");
  const rules = join(directory, "rules.yaml");
  await writeFile(rules, stringify({ groups }));
  await writeFile(
    config,
    stringify({
      global: { scrape_interval: "1s", scrape_timeout: "1s", evaluation_interval: "1s" },
      rule_files: [rules],
      scrape_configs: jobs,
    }),
  );
  const data = join(directory, "prometheus");
  await mkdir(data);
  const flags = [
    `--config.file=${config}`,
    `--storage.tsdb.path=${data}`,
    `--web.listen-address=127.0.0.1:${port}`,
  ];
  const running: Running = await launch(PROMETHEUS, "prometheus", flags, directory);
  const ask = async (path: string, words: Record<string, string>): Promise<readonly PromSeries[]> => {
    const response = await fetch(`http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(words)}`);
    const answer = (await response.json()) as {
      readonly error?: string;
      readonly data?: {
        readonly result: readonly {
          metric: Record<string, string>;
          value?: [number, string];
          values?: [number, string][];
        }[];
      };
    };
    if (answer.data === undefined) throw new Error(answer.error ?? `Prometheus answered ${response.status}`);
    return answer.data.result.map(({ metric, value, values }) => ({
      metric,
      values: values ?? (value ? [value] : []),
    }));
  };
  const isReady = () =>
    fetch(`http://127.0.0.1:${port}/-/ready`).then(
      ({ ok }) => ok,
      () => false,
    );
  try {
    await until("Prometheus", isReady, [running]);
  } catch (error) {
    await running.stop();
    throw error;
  }
  return {
    query: (expr) => ask("query", { query: expr }),
    range: (expr, seconds) => {
      const now = Date.now() / 1_000;
      return ask("query_range", { query: expr, start: `${now - seconds}`, end: `${now}`, step: "1" });
    },
    stop: async () => void (await running.stop()),
  };
}
