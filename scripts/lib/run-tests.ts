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
 * RDS_CSI_TEST_TIMEOUT: milliseconds a test, four minutes if not given. RDS_CSI_TEST_JOBS: how many files run at once; 1: one process.
 * RDS_CSI_TEST_REPEAT=1: a file with a failed test runs once more, alone. Tests that pass then are named, and counted as flaky.
 * RDS_CSI_TEST_REPEAT_UNTIL: seconds since 1970 after which no file is repeated, as its failure could not be told any more in time.
 *
 * Before its last lines, a run names its failed and its flaky tests, each with the error of the first time: a record may have the end only.
 */
const { RDS_CSI_TEST_TIMEOUT: timeout = "240000", RDS_CSI_TEST_REPEAT: repeat } = process.env;
const repeatUntil = Number(process.env.RDS_CSI_TEST_REPEAT_UNTIL ?? Number.POSITIVE_INFINITY);
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

/** Tests of a run. */
interface Report {
  readonly failed: readonly Test[];
  readonly passed: readonly Test[];
}

/** One test. */
interface Test {
  /** Path of its file. */
  readonly file: string;
  /** Its groups and its own name. */
  readonly name: string;
  /** Its error; empty for one that passed. */
  readonly error: string;
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
  const tests = failed === 0 ? { failed: [], passed: [] } : await readReport(report);
  return {
    passed: count("pass"),
    failed: silent ? Math.max(1, failed) : failed,
    skipped: count("skip") + count("todo"),
    broken: silent || count("error") > 0 || tests.failed.length !== failed,
    report: tests,
  };
}

/** The tests in a report of JUnit's form; none if it cannot be read. */
async function readReport(file: string): Promise<Report> {
  const text = await readFile(file, "utf8").catch(() => "");
  const report = { failed: [] as Test[], passed: [] as Test[] };
  for (const [, attributes = "", content = ""] of text.matchAll(
    /<testcase ([^>]*?)(?:\/>|>(.*?)<\/testcase>)/gs,
  )) {
    const [name = "", group = "", path] = ["name", "classname", "file"].map((key) =>
      attribute(attributes, key),
    );
    if (name === "" || path === undefined || content.includes("<skipped")) continue;
    const failure = /<(?:failure|error)\b([^>]*?)(?:\/>|>(.*?)<\/)/s.exec(content);
    const [, head = "", body = ""] = failure ?? [];
    (failure === null ? report.passed : report.failed).push({
      file: path,
      name: group === "" ? name : `${group} > ${name}`,
      error: body === "" ? (attribute(head, "message") ?? "") : plain(body),
    });
  }
  return report;
}

function attribute(text: string, name: string): string | undefined {
  const found = new RegExp(`\\b${name}="([^"]*)"`).exec(text)?.[1];
  return found === undefined ? undefined : plain(found);
}

const ENTITIES: Readonly<Record<string, string>> = {
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  "#10": "\n",
  amp: "&",
};

/** The text that XML stands for. */
function plain(xml: string): string {
  return xml.replace(/&(#?\w+);/g, (entity, name) => ENTITIES[name] ?? entity);
}

/** A test, and below it the beginning of its error. */
function described({ file, name, error }: Test): string {
  const lines = error.split("\n").filter((line) => line.trim() !== "");
  return [`${file} › ${name}`, ...lines.slice(0, 12).map((line) => `  ${line.slice(0, 300)}`)].join("\n");
}

/**
 * Runs the files with failed tests once more, one after the other. Only a test that is seen to pass then is no failure any more.
 * @returns the sums, and those tests
 */
async function repeated(first: Result): Promise<Result & { readonly flaky: readonly Test[] }> {
  const others = args.filter((arg) => !isFile(arg));
  const flaky: Test[] = [];
  const files = [...new Set(first.report.failed.map(({ file }) => file))];
  for (const [index, file] of files.entries()) {
    const tests = first.report.failed.filter((test) => test.file === file);
    if (Date.now() / 1000 > repeatUntil) {
      console.log(`not repeated, as no time is left: ${file}`);
      continue;
    }
    console.log(`repeat: ${file}, for ${tests.map(({ name }) => name).join(", ")}`);
    const again = await runTests([...others, `./${file}`], join(canaries, `again-${index}.xml`));
    // Without a failure nobody has read the report.
    const report = await readReport(join(canaries, `again-${index}.xml`));
    const passed = again.broken ? [] : report.passed.filter((test) => test.file === file);
    flaky.push(...tests.filter((test) => passed.some(({ name }) => name === test.name)));
  }
  const failed = first.report.failed.filter((test) => !flaky.includes(test));
  return {
    ...first,
    passed: first.passed + flaky.length,
    failed: first.failed - flaky.length,
    report: { ...first.report, failed },
    flaky,
  };
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
  for (const each of flaky) console.log(`flaky: ${described(each)}`);
}
for (const each of result.report.failed) console.log(`failed: ${described(each)}`);
const leaks = await leaked().catch((error: unknown) => {
  console.log(`canary: ${String(error)}`);
  return 1;
});
const failed = result.failed + leaks;
console.log(`${result.passed} passed, ${failed} failed, ${result.skipped} skipped`);
process.exitCode = failed > 0 ? 1 : 0;
