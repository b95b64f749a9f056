import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { basename, resolve } from "node:path";
import process from "node:process";
import type { Place } from "./machine.ts";

/** Files that run alone, first: diagnose has to find nothing in the cluster but what the test expects. */
const FIRST = ["install"];
/** Files that take parts of the cluster away which all others need, or count its requests. Each runs alone, after all others. */
const LAST = ["faults", "loss", "upgrade", "adopt", "life", "runbooks", "load"];

const repository = resolve(import.meta.dirname, "../..");

/** Sums of the last lines of several runs. */
interface Sums {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Runs test files: those that leave each other alone beside each other, and the others one by one. The last line has the sums of all.
 * @param args files of test/cluster, all of them if none is named, then options of `bun test`
 * @returns status, 0 if nothing failed
 */
export async function runTests(cluster: Place, args: readonly string[]): Promise<number> {
  const count = args.findIndex((each) => each.startsWith("-"));
  const options = count < 0 ? [] : args.slice(count);
  const files = args.slice(0, args.length - options.length);
  const all = files.length > 0 ? files : await testFiles();
  const named = (names: readonly string[]) =>
    names.flatMap((name) => all.filter((file) => basename(file) === `${name}.test.ts`)).map((file) => [file]);
  const [first, last] = [named(FIRST), named(LAST)];
  const alone = [...first, ...last].flat();
  const together = all.filter((file) => !alone.includes(file));
  const sums: Sums = { passed: 0, failed: 0, skipped: 0 };
  for (const group of [...first, together, ...last]) {
    if (group.length > 0) await runFiles(cluster, group, options, sums);
  }
  console.log(`${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
  return sums.failed > 0 ? 1 : 0;
}

async function testFiles(): Promise<string[]> {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith(".test.ts"));
  return names.sort().map((name) => `./test/cluster/${name}`);
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
  const found = /(\d+) passed, (\d+) failed, (\d+) skipped\n$/.exec(last);
  const [passed = 0, failed = 0, skipped = 0] = (found?.slice(1) ?? []).map(Number);
  sums.passed += passed;
  const silent = found === null || (code !== 0 && failed === 0);
  sums.failed += silent ? Math.max(1, failed) : failed;
  sums.skipped += skipped;
}
