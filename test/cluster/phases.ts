import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import process from "node:process";
import type { Place } from "./machine.ts";

/** Files that run alone, first: diagnose has to find nothing in the cluster but what the test expects. */
const FIRST = ["install"];
/** Files that take parts of the cluster away which all others need, or count its requests. Each runs alone, after all others. */
const LAST = ["faults", "loss", "upgrade", "chart", "runbooks", "load"];
/** Files that put other drivers into their cluster: a run of all files has a second one for them. */
const APART = ["upgrade", "chart", "runbooks"];

const repository = resolve(import.meta.dirname, "../..");

/** Sums of the last lines of several runs. */
export interface Sums {
  passed: number;
  failed: number;
  skipped: number;
}

/** Files and options of a run. */
export interface Run {
  /** Of test/cluster. */
  readonly files: readonly string[];
  /** Of `bun test`. */
  readonly options: readonly string[];
}

/** The arguments of a run: files, then options. */
export function runOf(args: readonly string[]): Run {
  const count = args.findIndex((each) => each.startsWith("-"));
  const options = count < 0 ? [] : args.slice(count);
  return { files: args.slice(0, args.length - options.length), options };
}

/** All files, for two clusters. */
export async function allFiles(): Promise<readonly [files: readonly string[], apart: readonly string[]]> {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith(".test.ts")).sort();
  const isApart = (name: string): boolean => APART.includes(basename(name, ".test.ts"));
  const paths = (list: readonly string[]) => list.map((name) => `./test/cluster/${name}`);
  return [paths(names.filter((name) => !isApart(name))), paths(names.filter(isApart))];
}

/** Runs test files: those that leave each other alone beside each other, and the others one by one. */
export async function runTests(cluster: Place, { files: all, options }: Run): Promise<Sums> {
  const named = (names: readonly string[]) =>
    names.flatMap((name) => all.filter((file) => basename(file) === `${name}.test.ts`)).map((file) => [file]);
  const [first, last] = [named(FIRST), named(LAST)];
  const alone = [...first, ...last].flat();
  const together = all.filter((file) => !alone.includes(file));
  const sums: Sums = { passed: 0, failed: 0, skipped: 0 };
  for (const group of [...first, together, ...last]) {
    if (group.length > 0) await runFiles(cluster, group, options, sums);
  }
  return sums;
}

/** Runs files beside each other, and adds their sums. A run without sums counts as one failure. */
async function runFiles(
  cluster: Place,
  files: readonly string[],
  options: readonly string[],
  sums: Sums,
): Promise<void> {
  const parallel = files.length > 1 ? [`--parallel=${files.length}`] : [];
  const child = spawn(
    process.execPath,
    ["scripts/lib/run-tests.ts", "--config=test/cluster/bunfig.toml", ...parallel, ...files, ...options],
    {
      cwd: repository,
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        ...process.env,
        RDS_CSI_CLUSTER: cluster.state,
        RDS_CSI_TEST_TIMEOUT: "900000",
        RDS_CSI_TEST_REPEAT: "1",
      },
    },
  );
  let last = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text);
    last = (last + text).slice(-200);
  });
  const code = await new Promise<number>((done) => {
    child.on("error", () => done(127));
    child.on("close", (status) => done(status ?? 128));
  });
  addSums(sums, last, code);
}

/** Adds the sums of a run by the end of its output. Without sums it counts as one failure. */
export function addSums(sums: Sums, output: string, code: number): void {
  const found = /(\d+) passed, (\d+) failed, (\d+) skipped\n$/.exec(output);
  const [passed = 0, failed = 0, skipped = 0] = (found?.slice(1) ?? []).map(Number);
  sums.passed += passed;
  const silent = found === null || (code !== 0 && failed === 0);
  sums.failed += silent ? Math.max(1, failed) : failed;
  sums.skipped += skipped;
}
