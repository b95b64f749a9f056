import { spawn } from "node:child_process";
import { readdir } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import process from "node:process";
import type { Place } from "./machine.ts";

/** Files that take parts of the cluster apart which all others need, or count its requests: each runs alone, in this order. */
const ALONE = ["faults", "loss", "upgrade", "load"] as const;
/** Most of the time of a file is waiting. The longest ones are named first, as Bun begins in the order of the names given. */
const LONGEST_FIRST = ["third-node", "refused", "expansion", "migration"] as const;

const repository = resolve(import.meta.dirname, "../..");

/** Sums of the last lines of several runs. */
interface Sums {
  passed: number;
  failed: number;
  skipped: number;
}

/**
 * Runs test files in two phases: those that leave each other alone beside each other, then the others one by one. The last line has the
 * sums of all.
 * @param files of test/cluster; all of them if none is named
 * @returns status, 0 if nothing failed
 */
export async function runTests(place: Place, files: readonly string[]): Promise<number> {
  const all = files.length > 0 ? files : await testFiles();
  const name = (file: string) => basename(file).replace(/\.test\.ts$/, "");
  const rank = (order: readonly string[], file: string) =>
    (order.indexOf(name(file)) + order.length + 1) % (order.length + 1);
  const by = (order: readonly string[]) => (a: string, b: string) => rank(order, a) - rank(order, b);
  const isAlone = (file: string) => (ALONE as readonly string[]).includes(name(file));
  const together = all.filter((file) => !isAlone(file)).sort(by(LONGEST_FIRST));
  const alone = all.filter(isAlone).sort(by(ALONE));
  const sums: Sums = { passed: 0, failed: 0, skipped: 0 };
  if (together.length > 0) await runFiles(place, together, sums);
  for (const file of alone) await runFiles(place, [file], sums);
  console.log(`${sums.passed} passed, ${sums.failed} failed, ${sums.skipped} skipped`);
  return sums.failed > 0 ? 1 : 0;
}

async function testFiles(): Promise<string[]> {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith(".test.ts"));
  return names.sort().map((name) => `./test/cluster/${name}`);
}

/** Runs files beside each other, and adds their sums. A run without sums counts as one failure. */
async function runFiles(place: Place, files: readonly string[], sums: Sums): Promise<void> {
  const parallel = files.length > 1 ? [`--parallel=${files.length}`] : [];
  const child = spawn(
    process.execPath,
    [join("scripts/lib/run-tests.ts"), "--config=test/cluster/bunfig.toml", ...parallel, ...files],
    {
      cwd: repository,
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, RDS_CSI_CLUSTER: place.state, RDS_CSI_TEST_TIMEOUT: "900000" },
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
  sums.failed += code !== 0 && failed === 0 ? 1 : failed;
  sums.skipped += skipped;
}
