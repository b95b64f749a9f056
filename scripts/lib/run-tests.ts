import { spawn } from "node:child_process";
import { createWriteStream, existsSync, type WriteStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { finished } from "node:stream/promises";
import { findLeaks, makeCanaryDirectory, removeCanaryDirectory } from "./canary.ts";

/**
 * Runs `bun test` with this script's arguments, and closes with `N passed, N failed, N skipped`. A run that ended without a summary (a
 * test that called process.exit, a crash of the runner) counts as failed. So does each secret of the tests that is found in the
 * output of the run or in the collection of test/support/canary.ts. Files run in parallel, one for each processor.
 *
 * RDS_CSI_TEST_TIMEOUT: milliseconds a test, a minute if not given. RDS_CSI_TEST_JOBS: how many files run at once; 1: one process.
 * RDS_CSI_TEST_REPEAT=1: a file with a failed test runs once more, alone. Tests that pass then are named, and counted as flaky.
 */
const { RDS_CSI_TEST_TIMEOUT: timeout = "60000", RDS_CSI_TEST_REPEAT: repeat } = process.env;
const jobs = Number(process.env.RDS_CSI_TEST_JOBS ?? availableParallelism());
const args = process.argv.slice(2);
const canaries = makeCanaryDirectory();
const kept = {
  stdout: createWriteStream(join(canaries, "emitted-stdout.log")),
  stderr: createWriteStream(join(canaries, "emitted-stderr.log")),
};

interface Result {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
  /** Errors outside of tests, a run without an end, or a report that does not name each failure: not to be repeated. */
  readonly broken: boolean;
  readonly report: Report;
}

/** Names of tests by their file. */
interface Report {
  readonly failed: ReadonlyMap<string, readonly string[]>;
  readonly passed: ReadonlyMap<string, readonly string[]>;
}

/** Runs `bun test` to its end. @param report file for its report */
async function runTests(options: readonly string[], report: string): Promise<Result> {
  const reporting = ["--reporter=junit", `--reporter-outfile=${report}`];
  const colour = process.stdout.isTTY === true ? { FORCE_COLOR: "1" } : {};
  const child = spawn(process.execPath, ["test", `--timeout=${timeout}`, ...reporting, ...options], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...colour, ...process.env, RDS_CSI_CANARY_DIR: canaries },
  });
  let tail = "";
  const keep = (stream: NodeJS.WriteStream, file: WriteStream) => (data: Buffer) => {
    stream.write(data);
    file.write(data);
    if (stream === process.stderr) tail = (tail + data.toString("utf8")).slice(-16_384);
  };
  child.stdout.on("data", keep(process.stdout, kept.stdout));
  child.stderr.on("data", keep(process.stderr, kept.stderr));
  const code = await new Promise<number | null>((resolve) => {
    child.on("close", resolve);
  });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: colour codes are what is removed
  const summary = tail.replace(/\x1b\[[0-9;]*m/g, "");
  const count = (kind: string): number => {
    const found = [...summary.matchAll(new RegExp(`^\\s*(\\d+) ${kind}`, "gm"))].at(-1);
    return Number(found?.[1] ?? 0);
  };
  const complete = /^Ran \d+ tests? across/m.test(summary);
  // A file that cannot be loaded is among both.
  const failed = Math.max(count("fail"), count("error"));
  const silent = !complete || (code !== 0 && failed === 0);
  const tests = failed === 0 ? { failed: new Map(), passed: new Map() } : await readReport(report);
  const named = [...tests.failed.values()].flat().length;
  return {
    passed: count("pass"),
    failed: silent ? Math.max(1, failed) : failed,
    skipped: count("skip") + count("todo"),
    broken: silent || count("error") > 0 || named !== failed,
    report: tests,
  };
}

/** The tests in a report of JUnit's form; none if it cannot be read. */
async function readReport(file: string): Promise<Report> {
  const text = await readFile(file, "utf8").catch(() => "");
  const report = { failed: new Map<string, string[]>(), passed: new Map<string, string[]>() };
  for (const [, attributes = "", content = ""] of text.matchAll(
    /<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs,
  )) {
    const [name, group, path] = ["name", "classname", "file"].map(
      (key) => new RegExp(`\\b${key}="([^"]*)"`).exec(attributes)?.[1] ?? "",
    );
    if (name === undefined || path === undefined || content.includes("<skipped")) continue;
    const { failed, passed } = report;
    const kind = content.includes("<failure") || content.includes("<error") ? failed : passed;
    kind.set(path, [...(kind.get(path) ?? []), group === "" ? name : `${group} > ${name}`]);
  }
  return report;
}

/**
 * Runs the files with failed tests once more, one after the other. Only a test that is seen to pass then is no failure any more.
 * @returns the sums, and those tests
 */
async function repeated(first: Result): Promise<Result & { readonly flaky: readonly string[] }> {
  const others = args.filter((arg) => !isFile(arg));
  const flaky: string[] = [];
  for (const [index, [file, names]] of [...first.report.failed].entries()) {
    console.log(`repeat: ${file}, for ${names.join(", ")}`);
    const again = await runTests([...others, `./${file}`], join(canaries, `again-${index}.xml`));
    // Without a failure nobody has read the report.
    const report = await readReport(join(canaries, `again-${index}.xml`));
    const passed = again.broken ? [] : (report.passed.get(file) ?? []);
    flaky.push(...names.filter((name) => passed.includes(name)).map((name) => `${file} › ${name}`));
  }
  const failed = first.failed - flaky.length;
  return { ...first, passed: first.passed + flaky.length, failed, flaky };
}

/** Whether an argument names files of tests, and is no option or the value of one. */
function isFile(arg: string): boolean {
  return arg.startsWith("./") || (!arg.startsWith("-") && existsSync(arg));
}

async function leaked(): Promise<number> {
  for (const stream of Object.values(kept)) {
    stream.end();
    await finished(stream);
  }
  try {
    const { secrets, files, bytes, leaks } = findLeaks(canaries);
    for (const { secret, where } of leaks) console.log(`canary: "${secret}" is in ${where}`);
    if (leaks.length === 0)
      console.log(`canary: none of ${secrets} secrets is in ${files} files, ${bytes} bytes`);
    return leaks.length;
  } finally {
    removeCanaryDirectory(canaries);
  }
}

const parallel = jobs > 1 && !args.some((arg) => arg.startsWith("--parallel")) ? [`--parallel=${jobs}`] : [];
let result = await runTests([...parallel, ...args], join(canaries, "report.xml"));
if (repeat === "1" && result.failed > 0 && !result.broken) {
  const { flaky, ...again } = await repeated(result);
  result = again;
  for (const name of flaky) console.log(`flaky: ${name}`);
}
const leaks = await leaked().catch((error: unknown) => {
  console.log(`canary: ${String(error)}`);
  return 1;
});
const failed = result.failed + leaks;
console.log(`${result.passed} passed, ${failed} failed, ${result.skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
