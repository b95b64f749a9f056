import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Random } from "../fuzz/random.ts";
import { noDevices, shortDirectory } from "../support/executable.ts";
import { cleanUp } from "../support/leftovers.ts";
import { historyLines } from "./history.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { abandonRounds, type RoundResult, runRound } from "./round.ts";
import { shrink } from "./shrink.ts";
import { faultText } from "./strike.ts";
import { longStruck, type StruckKinds, shortStruck, sumOf, verdictOn } from "./strikes.ts";

/** While a round is shrunk, a volume that is not healthy is given up earlier: most rounds need a second or two. */
const SHRINKING_HEALTHY_MS = 25_000;

const fail = (text: string): never => {
  console.error(`campaign: ${text}`);
  process.exit(2);
};

function options() {
  const known = {
    seconds: { type: "string", default: "300" },
    seed: { type: "string" },
    actions: { type: "string", default: "40" },
    jobs: { type: "string", default: "1" },
    replay: { type: "string" },
    keep: { type: "string", default: "dist/campaign" },
    "shrink-seconds": { type: "string", default: "240" },
    verbose: { type: "boolean", default: false },
  } as const;
  try {
    const { values } = parseArgs({ options: known });
    const number = (name: "seconds" | "actions" | "jobs" | "shrink-seconds", least: number): number => {
      const value = Number(values[name]);
      return Number.isSafeInteger(value) && value >= least
        ? value
        : fail(`--${name} is not a whole number of at least ${least}`);
    };
    const seed = values.seed === undefined ? Math.floor(Math.random() * 1e9) : Number(values.seed);
    if (!Number.isSafeInteger(seed) || seed < 0) fail("--seed is not a whole number");
    return {
      ...{ seed, replay: values.replay, keep: resolve(values.keep), verbose: values.verbose },
      ...{ seconds: number("seconds", 1), actions: number("actions", 1), jobs: number("jobs", 1) },
      shrinkSeconds: number("shrink-seconds", 0),
    };
  } catch (error) {
    return fail(
      `${error instanceof Error ? error.message : error}; scripts/campaign --help shows the options`,
    );
  }
}

const chosen = options();
if (noDevices !== "") {
  console.log(`campaign ${noDevices}`);
  console.log("0 passed, 0 failed, 1 skipped");
  process.exit(0);
}
const base = await shortDirectory();
await mkdir(chosen.keep, { recursive: true });

/** The first signal ends the campaign with the rounds that run; the second one at once, and ends what they have started. */
let signals = 0;
const stopping = () => signals > 0;
async function interrupted(): Promise<void> {
  if (signals === 1) console.error("campaign: ends with this round; a second signal ends it at once");
  if (signals !== 2) return;
  const complain = (error: unknown) => console.error(`campaign: ${error}`);
  await abandonRounds().catch(complain);
  // A round that was about to begin has a directory only.
  for (const round of await readdir(base)) await cleanUp(join(base, round, "s")).catch(complain);
  await rm(base, { recursive: true, force: true }).catch(complain);
  process.exit(130);
}
let interrupting: Promise<void> | undefined;
for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    signals += 1;
    const handled = interrupted();
    if (signals === 2) interrupting = handled;
  });

/** Sums of all rounds, those of shrinking too. */
const totals = { rounds: 0, actions: 0, calls: 0, records: 0, slowestMs: 0 };
/** Those of each round that was drawn: shrinking would count one fault of a failed round again and again. */
const faults: StruckKinds[] = [];
const failures: string[] = [];
let passed = 0;

/** Runs a plan; a round that cannot even be run is a failure of the campaign. */
async function run(plan: Plan, keepLogs: string, healthyWithinMs?: number): Promise<RoundResult> {
  const result = await runRound(plan, {
    ...{ base, keepLogs },
    ...(healthyWithinMs === undefined ? {} : { healthyWithinMs }),
  });
  totals.rounds += 1;
  totals.actions += result.actions;
  totals.calls += result.calls;
  totals.records += result.records;
  totals.slowestMs = Math.max(totals.slowestMs, result.healthyMs);
  return result;
}

const kindsOf = (result: RoundResult) => new Set(result.violations.map(({ invariant }) => invariant));

function describePlan(plan: Plan): string[] {
  return [
    `seed ${plan.seed}, profile ${plan.profile}, switches ${JSON.stringify(plan.switches)}, orchestrator ${plan.orchestrator}, fencing ${plan.fencing}, expansion ${plan.onlineExpansion}, controllers ${plan.controllers}, deadline ${plan.deadlineMs} ms`,
    ...plan.volumes.map(
      ({ name, kind, actions }) =>
        `${name} (${kind}): ${actions.map((each) => JSON.stringify(each)).join(" ")}`,
    ),
    ...plan.faults.map(faultText),
  ];
}

async function report(result: RoundResult, deadline: number): Promise<void> {
  const { seed } = result.plan;
  const first = kindsOf(result);
  const logs = join(chosen.keep, `${seed}-logs`);
  console.log(
    `round ${seed}: FAILED: ${result.violations.map(({ invariant, text }) => `${invariant}: ${text}`).join("\n  ")}`,
  );
  await writeFile(join(chosen.keep, `${seed}-history.txt`), `${historyLines(result.facts).join("\n")}\n`);
  let least = result;
  const until = Math.min(deadline, performance.now() + chosen.shrinkSeconds * 1_000);
  await shrink(result.plan, {
    about: result.violations.map(({ text }) => text).join(" "),
    more: () => !stopping() && performance.now() < until,
    fails: async (plan) => {
      const again = await run(plan, join(chosen.keep, `${seed}-shrunk-logs`), SHRINKING_HEALTHY_MS).catch(
        () => undefined,
      );
      const same = again !== undefined && [...kindsOf(again)].some((kind) => first.has(kind));
      if (same) least = again;
      return same;
    },
  });
  const file = join(chosen.keep, `${seed}.json`);
  await writeFile(file, `${JSON.stringify(least.plan, undefined, 1)}\n`);
  const lines = [...describePlan(least.plan), ...historyLines(least.facts)];
  console.log(lines.map((line) => `  ${line}`).join("\n"));
  console.log(`  replay: scripts/campaign --replay ${file}   (logs: ${logs})`);
  failures.push(
    `round ${seed}\n${least.violations.map(({ invariant, text }) => `  ${invariant}: ${text}`).join("\n")}`,
  );
}

async function oneRound(plan: Plan, deadline: number): Promise<void> {
  const logs = join(chosen.keep, `${plan.seed}-logs`);
  console.log(
    `round ${plan.seed}: ${plan.volumes.length} volumes, ${plan.faults.length} faults, profile ${plan.profile}, ${plan.orchestrator}, ${plan.controllers} controllers, fencing ${plan.fencing}`,
  );
  try {
    const result = await run(plan, logs);
    faults.push(result.faults);
    if (chosen.verbose) console.log(historyLines(result.facts).join("\n"));
    if (result.violations.length > 0) {
      await report(result, deadline);
      return;
    }
    passed += 1;
    console.log(
      `round ${plan.seed}: ok, ${result.actions} actions, ${result.calls} calls, ${result.records} records, ${shortStruck(result.faults)}, healthy after ${Math.round(result.healthyMs)} ms`,
    );
  } catch (error) {
    console.log(`round ${plan.seed}: could not be run: ${error instanceof Error ? error.stack : error}`);
    failures.push(`round ${plan.seed} could not be run\n  ${error instanceof Error ? error.message : error}`);
  }
}

const begun = performance.now();
const end = begun + chosen.seconds * 1_000;
if (chosen.replay !== undefined) {
  await oneRound(JSON.parse(await readFile(chosen.replay, "utf8")) as Plan, 0);
} else {
  console.log(`campaign: seed ${chosen.seed}, ${chosen.seconds} s, ${chosen.jobs} at a time`);
  let next = chosen.seed;
  const worker = async () => {
    while (!stopping() && performance.now() < end) {
      const seed = next++;
      const plan = drawPlan(seed, new Random(seed), { actions: chosen.actions });
      await oneRound(plan, end + chosen.shrinkSeconds * 1_000);
    }
  };
  await Promise.all(Array.from({ length: chosen.jobs }, worker));
}
// It ends this process when everything is ended and removed.
await interrupting;
await rm(base, { recursive: true, force: true });
console.log(
  `campaign: ${totals.rounds} rounds, ${totals.actions} actions, ${totals.calls} calls, ${totals.records} records, ${shortStruck(sumOf(faults))}; healthy after ${Math.round(totals.slowestMs)} ms at most`,
);
console.log(longStruck(sumOf(faults)));
const verdict = verdictOn(sumOf(faults));
failures.push(...verdict.failed);
for (const each of verdict.skipped) console.log(`skipped: ${each}`);
for (const failure of failures) console.log(`failed: ${failure}`);
console.log(`${passed} passed, ${failures.length} failed, ${verdict.skipped.length} skipped`);
process.exit(failures.length === 0 ? 0 : 1);
