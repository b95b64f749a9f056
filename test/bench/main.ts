import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { parseArgs, promisify } from "node:util";
import { executable, repository } from "../support/executable.ts";
import { record } from "./budgets.ts";
import { burst } from "./burst.ts";
import { cpu } from "./cpu.ts";
import { growth } from "./growth.ts";
import { idle } from "./idle.ts";
import { latency } from "./latency.ts";
import { lists } from "./lists.ts";
import { type Bench, endOnSignals } from "./measure.ts";
import { sizes } from "./sizes.ts";
import { stage } from "./stage.ts";
import { holds, type Results, type Row, table, withTable } from "./table.ts";

/** The groups of figures; scripts/bench says what each flag does. */
const GROUPS = { latency, burst, lists, growth, idle, cpu, stage, sizes } as const;
type Group = keyof typeof GROUPS;

const isGroup = (name: string): name is Group => Object.hasOwn(GROUPS, name);

const fail = (text: string): never => {
  console.error(`bench: ${text}`);
  process.exit(2);
};

function options() {
  const known = {
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    json: { type: "string" },
    docs: { type: "boolean", default: false },
    record: { type: "boolean", default: false },
  } as const;
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}; scripts/bench --help shows the options`);
  }
}

async function measured(groups: readonly Group[], quick: boolean): Promise<Results> {
  const rows: Row[] = [];
  const bench: Bench = {
    quick,
    add: (row) => rows.push(row),
    say: (text) => console.error(`bench: ${text}`),
  };
  for (const group of groups) {
    // A figure that cannot be had costs only its group.
    await GROUPS[group](bench).catch((error: unknown) => {
      bench.say(`the rest of ${group} cannot be measured: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    });
  }
  const { stdout } = await promisify(execFile)(executable, ["version"]);
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "an unknown processor"}`;
  const date = new Date().toISOString().slice(0, 10);
  return { machine, version: stdout.trim().split("\n")[0] ?? "", date, quick, rows };
}

endOnSignals();
const { quick, only, json, docs, record: recording } = options();
if (recording) {
  await record();
} else {
  const names = only?.split(",") ?? Object.keys(GROUPS);
  const groups = names.map((name) =>
    isGroup(name) ? name : fail(`there is no group ${name}, but ${Object.keys(GROUPS).join(", ")}`),
  );
  if (docs && only !== undefined) fail("--docs writes the whole table, and --only measures a part of it");
  const results = await measured(groups, quick);
  console.log(`${results.version}; ${results.machine}; ${results.date}\n`);
  console.log(table(results.rows));
  if (json !== undefined) await writeFile(json, `${JSON.stringify(results, null, 2)}\n`);
  if (docs) {
    const page = join(repository, "docs/performance.md");
    await writeFile(page, withTable(await readFile(page, "utf8"), results));
  }
  const missed = results.rows.filter((row) => holds(row) === false).length;
  console.log(`\n${missed === 0 ? "All goals hold." : `${missed} goals do not hold.`}`);
}
process.exit();
