import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { Copies } from "./copies.ts";
import { EXPLAINED } from "./explained.ts";
import { type Mutant, mutantsOf } from "./mutants.ts";
import { PLACES, type Source } from "./places.ts";
import { withSources } from "./sources.ts";

// Changes the sources of some places one bit at a time, in a copy of the repository, and runs their tests: each change must make a test
// fail. docs/testing.md explains it. The last line counts: N passed (killed or explained), N failed (survived), N skipped.

const { values } = parseArgs({
  options: {
    place: { type: "string" },
    file: { type: "string" },
    match: { type: "string" },
    sample: { type: "string" },
    seed: { type: "string", default: "1" },
    minutes: { type: "string" },
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

/** So many of a list, at random by a seed, in the order of the list. Generator: mulberry32. */
function sampled<T>(list: readonly T[], count: number, seed: number): readonly T[] {
  let state = seed;
  const random = (): number => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
  const drawn = list.map((each, index) => ({ each, index, draw: random() }));
  return drawn
    .sort((a, b) => a.draw - b.draw)
    .slice(0, count)
    .sort((a, b) => a.index - b.index)
    .map(({ each }) => each);
}

const copies = new Copies(repository);

// Nothing goes on without this program: a mutant may loop for ever.
for (const [signal, status] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const) {
  process.on(signal, async () => {
    await copies.close().catch((error) => console.error(`mutate: ${error}`));
    process.exit(status);
  });
}

async function survives(
  copy: string,
  { source, mutant }: Task,
  limits: ReadonlyMap<readonly string[], number>,
): Promise<boolean> {
  const path = join(copy, mutant.file);
  const text = await readFile(path, "utf8");
  try {
    await writeFile(path, text.slice(0, mutant.start) + mutant.text + text.slice(mutant.end));
    for (const tests of source.tests) {
      if (!(await copies.pass(copy, tests, limits.get(tests) ?? SLACK_MS)).passed) return false;
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
for (const { key } of stale) console.log(`failed: an explanation without a mutant: ${key}`);
counts.failed += stale.length;
const queue = [...tasks];
const worker = async (): Promise<void> => {
  const copy = await copies.make();
  try {
    const limits = new Map<readonly string[], number>();
    for (const tests of new Set(tasks.flatMap(({ source }) => source.tests))) {
      const started = Date.now();
      const { passed, output } = await copies.pass(copy, tests, 600_000);
      limits.set(tests, SLACK_MS + 10 * (Date.now() - started));
      if (!passed) throw new Error(`${tests.join(" ")} fail without a mutant:\n${output.slice(-4_000)}`);
    }
    for (let task = queue.shift(); task !== undefined; task = queue.shift()) {
      const { mutant } = task;
      const isExplained = EXPLAINED.some(({ key }) => key === mutant.key);
      if (Date.now() > latest) counts.skipped += 1;
      else if (isExplained || !(await survives(copy, task, limits))) counts.passed += 1;
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
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 || counts.passed === 0 ? 1 : 0;
