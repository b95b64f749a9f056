import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Copies } from "./copies.ts";
import { EXPLAINED } from "./explained.ts";
import { type Mutant, mutantsOf } from "./mutants.ts";
import { OPEN } from "./open.ts";
import { PLACES, type Source } from "./places.ts";
import { withSources } from "./sources.ts";

// Changes the sources of some places one bit at a time, in a copy of the repository, and runs their tests: each change must make a test
// fail. docs/testing.md explains it. The last line counts: N passed (killed or explained), N failed (survived), N skipped (not run, or
// survived in a source of open.ts).

const { values } = parseArgs({
  options: {
    place: { type: "string" },
    file: { type: "string" },
    match: { type: "string" },
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string" },
    floor: { type: "string", default: "1" },
    jobs: { type: "string", default: "1" },
    list: { type: "boolean", default: false },
  },
});
/** A mutant may loop for ever: its tests have ten times as long as without it, and so many milliseconds. */
const SLACK_MS = 15_000;
const repository = process.cwd();
const sources = PLACES.filter(({ name }) => values.place === undefined || name === values.place)
  .flatMap((place) => place.sources)
  .filter(({ file }) => values.file === undefined || file === values.file);

interface Task {
  readonly source: Source;
  readonly mutant: Mutant;
}

/** So many of a list, at random by a seed, in a random order: those that the time does not reach are of all places. Generator: mulberry32. */
function sampled<T>(list: readonly T[], count: number, seed: number): readonly T[] {
  let state = seed;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const drawn = list.map((each) => ({ each, draw: random() }));
  return drawn
    .sort((a, b) => a.draw - b.draw)
    .slice(0, count)
    .map(({ each }) => each);
}

const copies = new Copies(repository);

// Nothing goes on without this program: a mutant may loop for ever. A second signal waits for nothing.
let isEnding = false;
for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, async () => {
    if (isEnding) process.exit(status);
    isEnding = true;
    await copies.close().catch((error) => console.error(`mutate: ${error}`));
    process.exit(status);
  });
}

/** How long tests may take, by what they take without a mutant. */
const limits = new Map<readonly string[], Promise<number>>();

/** @throws Error if the tests fail without a mutant */
async function measured(copy: string, tests: readonly string[]): Promise<number> {
  const started = Date.now();
  const { passed, output } = await copies.pass(copy, tests, 600_000);
  if (!passed) throw new Error(`${tests.join(" ")} fail without a mutant:\n${output.slice(-4_000)}`);
  return SLACK_MS + 10 * (Date.now() - started);
}

async function survives(copy: string, { source, mutant }: Task): Promise<boolean> {
  for (const tests of source.tests) {
    const limit = limits.get(tests) ?? measured(copy, tests);
    limits.set(tests, limit);
    await limit;
  }
  const path = join(copy, mutant.file);
  const text = await readFile(path, "utf8");
  try {
    await writeFile(path, text.slice(0, mutant.start) + mutant.text + text.slice(mutant.end));
    for (const tests of source.tests) {
      const limit = (await limits.get(tests)) ?? SLACK_MS;
      if (!(await copies.pass(copy, tests, limit)).passed) return false;
    }
    return true;
  } finally {
    await writeFile(path, text);
  }
}

const all = await withSources(
  repository,
  sources.map(({ file }) => file),
  (file, tree) => {
    const source = sources.find((each) => each.file === file);
    return source === undefined ? [] : mutantsOf(file, tree).map((mutant): Task => ({ source, mutant }));
  },
);
const stale = EXPLAINED.filter(
  ({ key }) =>
    sources.some(({ file }) => key.startsWith(`${file} `)) && !all.some(({ mutant }) => mutant.key === key),
);
const matching = all.filter(({ mutant }) => values.match === undefined || mutant.key.includes(values.match));
const tasks =
  values.sample === undefined ? matching : sampled(matching, Number(values.sample), Number(values.seed));
if (values.list) {
  for (const { mutant } of tasks) console.log(`${mutant.file}:${mutant.line} ${mutant.key}`);
  process.exit(0);
}
console.log(`${tasks.length} of ${all.length} mutants, seed ${values.seed}`);
const begun = Date.now();
const latest =
  values.minutes === undefined ? Number.POSITIVE_INFINITY : begun + Number(values.minutes) * 60_000;
const counts = { passed: 0, failed: 0, skipped: 0 };
/** Survivors that nobody has judged yet. */
const open: string[] = [];
for (const { key } of stale) console.log(`failed: an explanation without a mutant: ${key}`);
counts.failed += stale.length;
const queue = [...tasks];
const worker = async (): Promise<void> => {
  const copy = await copies.make();
  try {
    for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
      const { mutant } = task;
      const isExplained = EXPLAINED.some(({ key }) => key === mutant.key);
      if (Date.now() > latest) counts.skipped += 1;
      else if (isExplained || !(await survives(copy, task))) counts.passed += 1;
      else if (OPEN.includes(mutant.file)) open.push(mutant.key);
      else {
        counts.failed += 1;
        console.log(`failed: survived: ${mutant.key}\n  ${mutant.file}:${mutant.line}`);
      }
    }
  } finally {
    await copies.remove(copy);
  }
};
try {
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker));
} finally {
  // One worker has failed: the others end too.
  await copies.close();
}
console.log(`${Math.round((Date.now() - begun) / 1000)} s`);
for (const key of open) console.log(`open: survived, and not judged yet: ${key}`);
const unjudged = OPEN.filter((file) => sources.some((source) => source.file === file));
console.log(
  `${open.length} survivors are not judged yet; sources of that kind: ${unjudged.join(" ") || "none"}`,
);
const ran = counts.passed + counts.failed - stale.length + open.length;
const floor = Number(values.floor);
if (ran < floor) {
  console.log(
    `failed: only ${ran} mutants were run, and ${floor} are the least: the machine is too slow, or --minutes too few`,
  );
  counts.failed += 1;
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped + open.length} skipped`);
process.exitCode = counts.failed > 0 ? 1 : 0;
