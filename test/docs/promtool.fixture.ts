import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";

/** Path of promtool (Debian package `prometheus`), or null. */
export const PROMTOOL = Bun.which("promtool");
/** Why tests with promtool are skipped, for their titles; "" where they run. */
export const noPromtool = PROMTOOL === null ? " (needs promtool)" : "";
/** promtool answers within; milliseconds. */
const LIMIT_MS = 20_000;

/** What an expression yields: labels as Prometheus writes them, `{}` for none, to the value. */
export type Samples = Readonly<Record<string, number>>;

/** Runs promtool. @returns exit code and everything it wrote */
export async function promtool(args: readonly string[], stdin = ""): Promise<{ code: number; text: string }> {
  if (PROMTOOL === null) throw new Error("promtool is missing");
  const child = Bun.spawn([PROMTOOL, ...args], {
    stdin: new Blob([stdin]),
    stdout: "pipe",
    stderr: "pipe",
    timeout: LIMIT_MS,
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, text: out + err };
}

/** Scrapes of one or more targets, once a minute, as promtool wants its input. */
export class Recording {
  /** Series, with the label `instance`, to its values by minute. */
  readonly #series = new Map<string, Map<number, string>>();
  readonly #scraped = new Map<string, number>();

  /** Takes what a target serves in this minute; the minutes since its last scrape served what they served then. */
  scrape(instance: string, minute: number, exposition: string): void {
    const before = this.#scraped.get(instance) ?? 0;
    for (const [series, values] of this.#series) {
      const last = values.get(before);
      if (!series.includes(`instance="${instance}"`) || last === undefined) continue;
      for (let each = before + 1; each < minute; each++) values.set(each, last);
    }
    for (const line of exposition.split("\n")) {
      if (line === "" || line.startsWith("#")) continue;
      const found = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (found === null) throw new Error(`not an exposition line: ${line}`);
      const [, name, labels = "", value = ""] = found;
      const series = `${name}{${[labels, `instance="${instance}"`].filter((each) => each !== "").join(",")}}`;
      const values = this.#series.get(series) ?? new Map<number, string>();
      this.#series.set(series, values.set(minute, value));
    }
    this.#scraped.set(instance, minute);
  }

  /** Names of all series. */
  get series(): string[] {
    return [...this.#series.keys()];
  }

  input(): { series: string; values: string }[] {
    const last = Math.max(...this.#scraped.values());
    return [...this.#series].map(([series, values]) => ({
      series,
      values: Array.from({ length: last + 1 }, (_, minute) => values.get(minute) ?? "_").join(" "),
    }));
  }
}

export interface RuleTest {
  readonly rules: string;
  readonly input: readonly { readonly series: string; readonly values: string }[];
  /** What expressions yield. */
  readonly expressions: readonly {
    readonly minute: number;
    readonly expr: string;
    readonly samples: Samples;
  }[];
  /** Alert to what it must fire with, by minute: the labels beside its name. */
  readonly alerts: readonly {
    readonly name: string;
    readonly minute: number;
    readonly fires: readonly {
      readonly labels: Readonly<Record<string, string>>;
      readonly annotations: Readonly<Record<string, string>>;
    }[];
  }[];
}

/** `promtool check rules`, then `promtool test rules`. @returns the output of the first that fails; "" if all is well */
export async function testRules(wanted: RuleTest): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "rds-csi-promtool-"));
  try {
    const rules = join(directory, "rules.yaml");
    const tests = join(directory, "tests.yaml");
    await writeFile(rules, wanted.rules);
    const document = {
      rule_files: [rules],
      evaluation_interval: "1m",
      tests: [
        {
          interval: "1m",
          input_series: wanted.input,
          promql_expr_test: wanted.expressions.map(({ minute, expr, samples }) => ({
            expr,
            eval_time: `${minute}m`,
            exp_samples: Object.entries(samples).map(([labels, value]) => ({ labels, value })),
          })),
          alert_rule_test: wanted.alerts.map(({ name, minute, fires }) => ({
            alertname: name,
            eval_time: `${minute}m`,
            exp_alerts: fires.map(({ labels, annotations }) => ({
              exp_labels: labels,
              exp_annotations: annotations,
            })),
          })),
        },
      ],
    };
    await writeFile(tests, stringify(document, { lineWidth: 0 }));
    for (const args of [
      ["check", "rules", rules],
      ["test", "rules", tests],
    ]) {
      const { code, text } = await promtool(args);
      if (code !== 0) return `promtool ${args.slice(0, 2).join(" ")}: ${text}`;
    }
    return "";
  } finally {
    await rm(directory, { recursive: true });
  }
}
