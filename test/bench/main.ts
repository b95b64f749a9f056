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
import { lab } from "./lab.ts";
import { latency } from "./latency.ts";
import { lists } from "./lists.ts";
import { type Bench, endOnSignals } from "./measure.ts";
import { modules } from "./modules.ts";
import { profile } from "./profile.ts";
import { sizes } from "./sizes.ts";
import { stage } from "./stage.ts";
import { type Row, SECTIONS, type Section, table, verdict, withTable } from "./table.ts";

/** The groups of figures; scripts/bench says what each flag does. */
const GROUPS = { latency, burst, lists, growth, idle, cpu, stage, sizes, modules, profile, lab } as const;
type Group = keyof typeof GROUPS;
/** The groups of a run that names none. */
const ALL = Object.keys(GROUPS) as Group[];

/** The table of docs/performance.md that has the figures of a group. */
const sectionOf = (group: Group): Section => SECTIONS.find((section) => section === group) ?? "figures";

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
    strict: { type: "boolean", default: false },
  } as const;
  try {
    return parseArgs({ options: known }).values;
  } catch (error) {
    return fail(`${error instanceof Error ? error.message : error}; scripts/bench --help shows the options`);
  }
}

/** Measures some groups, and adds their rows to those of their tables. */
async function measure(groups: readonly Group[], quick: boolean): Promise<Map<Section, Row[]>> {
  const tables = new Map<Section, Row[]>();
  for (const group of groups) {
    const rows = tables.get(sectionOf(group)) ?? [];
    const bench: Bench = {
      quick,
      add: (row) => {
        tables.set(sectionOf(group), rows);
        rows.push(row);
      },
      say: (text) => console.error(`bench: ${text}`),
    };
    // A figure that cannot be had costs only its group.
    await GROUPS[group](bench).catch((error: unknown) => {
      bench.say(`the rest of ${group} cannot be measured: ${error instanceof Error ? error.message : error}`);
      process.exitCode = 1;
    });
  }
  return tables;
}

async function machineAndVersion() {
  const { stdout } = await promisify(execFile)(executable, ["version"]);
  const machine = `${cpus().length} × ${cpus()[0]?.model ?? "an unknown processor"}`;
  const date = new Date().toISOString().slice(0, 10);
  return { machine, version: stdout.trim().split("\n")[0] ?? "", date };
}

endOnSignals();
const { quick, only, json, docs, record: recording, strict } = options();
if (recording) {
  await record();
} else {
  // The lab boots machines, and has no short form.
  const groups =
    only
      ?.split(",")
      .map((name) => (isGroup(name) ? name : fail(`there is no group ${name}, but ${ALL.join(", ")}`))) ??
    ALL.filter((group) => !(quick && group === "lab"));
  const incomplete = (section: Section) => {
    const needed = ALL.filter((group) => sectionOf(group) === section);
    return needed.some((group) => groups.includes(group)) && !needed.every((group) => groups.includes(group));
  };
  if (docs && SECTIONS.some(incomplete))
    fail("--docs writes whole tables, and --only measures a part of one");
  const tables = await measure(groups, quick);
  const about = await machineAndVersion();
  const rows = [...tables.values()].flat();
  console.log(`${about.version}; ${about.machine}; ${about.date}\n`);
  console.log(table(rows));
  const results = { ...about, quick };
  if (json !== undefined) await writeFile(json, `${JSON.stringify({ ...results, rows }, null, 2)}\n`);
  if (docs) {
    const file = join(repository, "docs/performance.md");
    let page = await readFile(file, "utf8");
    for (const [section, rows] of tables) page = withTable(page, section, { ...results, rows });
    await writeFile(file, page);
  }
  const { missed, lines } = verdict(rows);
  console.log(`\n${lines.join("\n")}`);
  if (strict && missed > 0) process.exitCode = 1;
}
process.exit();
